"""Pieces of text become lines in the order in which they are read."""

from __future__ import annotations

import random

import pytest

from foregsyte_kaggle.vision.lines import Line, as_lines

pytestmark = pytest.mark.unit


def piece(text: str, x1: float, y1: float, width: float = 40, height: float = 20) -> Line:
    return Line(text, 0.9, x1, y1, x1 + width, y1 + height)


@pytest.mark.parametrize("seed", range(5))
def test_lines_go_down_and_pieces_right_in_whatever_order_they_come(seed: int) -> None:
    pieces = [
        piece("FULL", 10, 12),
        piece("TIME", 55, 10),
        piece("HOME", 10, 50),
        piece("2:1", 52, 53),
        piece("AWAY", 95, 48),
    ]
    random.Random(seed).shuffle(pieces)
    lines = as_lines(pieces)
    assert [line.text for line in lines] == ["FULL TIME", "HOME 2:1 AWAY"]
    assert lines[0][2:] == (10, 10, 95, 32)


def test_a_wide_gap_parts_what_stands_at_one_height() -> None:
    lines = as_lines([piece("45:00", 300, 10), piece("HOME", 10, 10)])
    assert [line.text for line in lines] == ["HOME", "45:00"]


def test_a_small_piece_beside_a_large_one_is_of_its_line_only_where_it_is_beside_it() -> None:
    large = piece("GOAL", 0, 0, 100, 60)
    assert [line.text for line in as_lines([large, piece("2", 105, 20)])] == ["GOAL 2"]
    assert [line.text for line in as_lines([large, piece("2", 105, 55)])] == ["GOAL", "2"]


def test_a_line_is_as_sure_as_its_characters() -> None:
    lines = as_lines([Line("aaa", 1.0, 0, 0, 30, 10), Line("b", 0.6, 32, 0, 40, 10)])
    assert lines[0].confidence == pytest.approx(0.9)


def test_no_pieces_are_no_lines() -> None:
    assert as_lines([]) == []
