"""Patterns mean what they mean to pathlib, over relative POSIX paths."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.patterns import has_magic, matcher, split_glob

pytestmark = pytest.mark.unit


def matches(pattern: str, path: str) -> bool:
    found = matcher(pattern)
    return found is None or bool(found(path))


@pytest.mark.parametrize(
    ("pattern", "taken", "left"),
    [
        ("**/*", ["a", "a/b", "a/b/c.mp4"], []),
        ("**", ["a", "a/b"], []),
        ("*", ["a", ".a"], ["a/b"]),
        ("*.mp4", ["a.mp4", "é.mp4", "two\nlines.mp4"], ["a.MP4", "a/b.mp4", "a.mp4x"]),
        ("**/*.mp4", ["a.mp4", "a/b/c.mp4"], ["a.mp", "a.mp4/b"]),
        ("**/*.tar.gz", ["a.tar.gz", "b/a.tar.gz"], ["a.tar"]),
        ("**/a?.mp4", ["ab.mp4", "x/ab.mp4"], ["a.mp4", "abc.mp4", "a/.mp4"]),
        ("a/*.mp4", ["a/b.mp4"], ["b.mp4", "a/b/c.mp4", "b/a/c.mp4"]),
        ("a/**/b.mp4", ["a/b.mp4", "a/x/y/b.mp4"], ["b.mp4", "xa/b.mp4"]),
        ("**/a/*", ["a/b", "x/a/b"], ["a", "xa/b", "a/b/c"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b"]),
        ("**/camera_[0-3]/*.jpg", ["camera_2/a.jpg", "x/camera_0/a.jpg"], ["camera_4/a.jpg"]),
        ("[!a]*", ["b", "]"], ["a", "b/c"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[!]a]", ["b"], ["]", "a"]),
        ("[[]x]", ["[x]"], ["x"]),
        ("[z-a]", [], ["z", "a", "-"]),
        ("a[b", ["a[b"], ["ab"]),
        ("a[+-0]b", ["a.b", "a0b"], ["a/b"]),
        ("./a//*.mp4", ["a/b.mp4"], ["b.mp4"]),
        ("a+(b).{mp4}$^|", ["a+(b).{mp4}$^|"], ["aab.mp4"]),
        ("a\\b*", ["a\\bc"], ["a/bc"]),
    ],
)
def test_pattern_takes_and_leaves(pattern: str, taken: list[str], left: list[str]) -> None:
    assert [path for path in taken if not matches(pattern, path)] == []
    assert [path for path in left if matches(pattern, path)] == []


@pytest.mark.parametrize("pattern", ["", "/", ".", "/a/*.mp4", "../*.mp4", "a/../b"])
def test_pattern_that_leaves_the_folder_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        matcher(pattern)
    assert str(caught.value) == (
        f"pattern={pattern!r} names no file below the folder; expected one such as '**/*.mp4', "
        "relative to it"
    )


@pytest.mark.parametrize(
    ("glob", "folder", "pattern"),
    [
        ("/data/clips/**/*.mp4", "/data/clips", "**/*.mp4"),
        ("clips/*.mp4", "clips", "*.mp4"),
        ("*.mp4", ".", "*.mp4"),
        ("/*.mp4", "/", "*.mp4"),
        ("../a/b?/c", "../a", "b?/c"),
        ("a/[bc]", "a", "[bc]"),
    ],
)
def test_glob_is_split_where_its_first_sign_is(glob: str, folder: str, pattern: str) -> None:
    assert has_magic(glob)
    assert split_glob(glob) == (folder, pattern)


def test_plain_path_has_no_sign_of_a_glob() -> None:
    assert not has_magic("a/b c/é{1}.mp4")


parts = st.text("ab[]!-*?.", min_size=1, max_size=6)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="PurePath.full_match came with Python 3.13")
@settings(deadline=None)
@given(st.lists(parts | st.just("**"), min_size=1, max_size=4), st.lists(parts, min_size=1))
def test_matching_is_that_of_pathlib(pattern: list[str], path: list[str]) -> None:
    if "." in pattern or ".." in pattern or "." in path or ".." in path or pattern[-1] == "**":
        return
    from pathlib import PurePosixPath

    expected = PurePosixPath(*path).full_match("/".join(pattern))  # type: ignore[attr-defined]
    assert matches("/".join(pattern), "/".join(path)) == expected


@settings(deadline=None)
@given(parts, st.lists(st.text("ab[]!-.", min_size=1, max_size=4), min_size=1, unique=True))
@example("[!-a]", ["-", "b"])
@example("[a-]", ["-", "a"])
@example("[[]", ["["])
@example("[--a]", ["-", "a"])
def test_one_part_matches_the_names_that_pathlib_finds(pattern: str, names: list[str]) -> None:
    import fnmatch

    if "**" in pattern or pattern in (".", ".."):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a set that re finds strange would warn
        found = [name for name in names if matches(pattern, name)]
    assert found == [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def test_globbed_files_of_a_folder_are_those_of_pathlib(tmp_path: Path) -> None:
    for path in ("a.mp4", "b/a.mp4", "b/c/a.mp4", "b/c/x.txt", "bb/a.mp4", "b.mp4/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    every = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    for pattern in (
        "*.mp4",
        "**/*.mp4",
        "b/*",
        "b/**/*",
        "**/c/*",
        "*/*.mp4",
        "b*/a.*",
        "**/[bc]/a.mp4",
    ):
        expected = [
            os.fspath(path.relative_to(tmp_path))
            for path in sorted(tmp_path.glob(pattern))
            if path.is_file()
        ]
        assert sorted(filter(lambda path: matches(pattern, path), every)) == sorted(expected)
