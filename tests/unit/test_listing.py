"""One walk finds every file of a folder, whatever the names, and is stopped by nothing it cannot read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foregsyte_kaggle import listing
from foregsyte_kaggle.identity import decode_path
from foregsyte_kaggle.listing import folder_size, list_files, list_folders

pytestmark = pytest.mark.unit

AWKWARD_NAMES = [
    'it\'s "quoted".mp4',
    "two\nlines\tand\x01more.mp4",
    "<script>alert(1)</script>",
    "%d 100%25.mp4",
    "percent-encoded:%41",
    "a" * 150 + "é" * 50,
    os.fsdecode(b"latin \xe9\xff.mp4"),
    " leading and trailing ",
    "back\\slash",
    "*?[a]",
    "~",
    "-rf",
    "\u202ertl\u2028",
]


def make(root: Path, *paths: str, size: int = 1) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * size)


def test_files_come_sorted_with_their_sizes(tmp_path: Path) -> None:
    make(tmp_path, "b/c.mp4", "b-1.mp4", "b1.mp4", "a.mp4", "b/a/z.mp4", "b.mp4/x")
    (tmp_path / "empty.mp4").touch()
    found = list_files(tmp_path, "**/*")
    assert found.paths == sorted(found.paths)
    assert dict(zip(found.paths, found.sizes, strict=True)) == {
        "a.mp4": 1,
        "b-1.mp4": 1,
        "b.mp4/x": 1,
        "b/a/z.mp4": 1,
        "b/c.mp4": 1,
        "b1.mp4": 1,
        "empty.mp4": 0,
    }
    assert found.skipped == []


def test_names_that_begin_with_a_dot_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, ".hidden", ".git/config", "a/.b/c", "a/d.", "a/..e", "kept")
    assert list_files(tmp_path, "**/*").paths == ["a/d.", "kept"]


@pytest.mark.parametrize("name", AWKWARD_NAMES, ids=repr)
def test_awkward_name_is_found_as_file_and_as_folder(tmp_path: Path, name: str) -> None:
    make(tmp_path / "files", name, size=3)
    make(tmp_path / "folders", f"{name}/inner.mp4", size=5)
    files = list_files(tmp_path / "files", "**/*")
    folders = list_folders(tmp_path / "folders", "**/*.mp4")
    assert [decode_path(path) for path in files.paths] == [name]
    assert [decode_path(path) for path in folders.paths] == [name]
    assert (files.sizes, folders.sizes) == ([3], [5])
    (*files.paths, *folders.paths, "")[0].encode()


def test_excluded_files_and_folders_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "data/ledger", "data/outputs/a", "data/mine", "outputs/b", "x/data/ledger")
    exclude = [tmp_path / "data" / "ledger", tmp_path / "data" / "outputs", tmp_path / "nothing"]
    assert list_files(tmp_path, "**/*", exclude).paths == [
        "data/mine",
        "outputs/b",
        "x/data/ledger",
    ]
    assert list_files(tmp_path / "data", "**/*", exclude).paths == ["mine"]
    assert list_files(tmp_path / "data" / "outputs", "**/*", exclude).paths == ["a"]


def test_folders_are_those_that_directly_hold_matching_files(tmp_path: Path) -> None:
    make(tmp_path, "scan1/a.dcm", "scan1/b.dcm", "scan1/notes.txt", "deep/er/c.dcm", "none/x.txt")
    make(tmp_path, "top.dcm", "scan1/more/d.dcm", size=10)
    found = list_folders(tmp_path, "**/*.dcm")
    assert dict(zip(found.paths, found.sizes, strict=True)) == {
        ".": 10,
        "deep/er": 1,
        "scan1": 2,
        "scan1/more": 10,
    }
    assert found.paths == sorted(found.paths)
    for folder, size in zip(found.paths, found.sizes, strict=True):
        assert folder_size(tmp_path, folder, "**/*.dcm") == size


def test_folder_whose_files_a_subfolder_parts_is_found_once(tmp_path: Path) -> None:
    make(tmp_path, "scan/a", "scan/b/c", "scan/d")
    assert list_folders(tmp_path, "**/*") == (["scan", "scan/b"], [2, 1], [])


# Links


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    make(tmp_path, "outside/a.mp4", "outside/deep/b.mp4", "root/own.mp4", size=7)
    (tmp_path / "root" / "file").symlink_to(tmp_path / "outside" / "a.mp4")
    (tmp_path / "root" / "folder").symlink_to(tmp_path / "outside")
    found = list_files(tmp_path / "root", "**/*")
    assert found.paths == ["file", "folder/a.mp4", "folder/deep/b.mp4", "own.mp4"]
    assert (found.sizes, found.skipped) == ([7] * 4, [])


def test_root_may_be_a_link(tmp_path: Path) -> None:
    make(tmp_path, "real/a.mp4")
    (tmp_path / "link").symlink_to("real")
    assert list_files(tmp_path / "link", "**/*").paths == ["a.mp4"]


BACK = "a link to a folder above it"


def link_to_itself(root: Path) -> list[tuple[str, str]]:
    (root / "loop").symlink_to("loop")
    return [("loop", "Too many levels of symbolic links")]


def two_links_to_each_other(root: Path) -> list[tuple[str, str]]:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    return [(name, "Too many levels of symbolic links") for name in ("one", "two")]


def link_to_the_root(root: Path) -> list[tuple[str, str]]:
    (root / "sub" / "up").symlink_to(root)
    return [("sub/up", BACK)]


def link_to_its_own_folder(root: Path) -> list[tuple[str, str]]:
    (root / "sub" / "here").symlink_to(".")
    return [("sub/here", BACK)]


def link_above_the_root(root: Path) -> list[tuple[str, str]]:
    (root / "sub" / "out").symlink_to("../..")
    return [("sub/out", BACK)]


def link_through_a_link(root: Path) -> list[tuple[str, str]]:
    (root / "up").symlink_to(".")
    (root / "sub" / "again").symlink_to("../up")
    return [("sub/again", BACK), ("up", BACK)]


def link_from_outside_back_in(root: Path) -> list[tuple[str, str]]:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "back").symlink_to(root)
    (root / "out").symlink_to(outside)
    return [("out/back", BACK)]


def folders_that_link_to_each_other(root: Path) -> list[tuple[str, str]]:
    for one, other in (("left", "right"), ("right", "left")):
        (root / one).mkdir()
        (root / one / "over").symlink_to(root / other)
    return [("left/over/over", BACK), ("right/over/over", BACK)]


@pytest.mark.parametrize(
    "loop",
    [
        link_to_itself,
        two_links_to_each_other,
        link_to_the_root,
        link_to_its_own_folder,
        link_above_the_root,
        link_through_a_link,
        link_from_outside_back_in,
        folders_that_link_to_each_other,
    ],
    ids=lambda loop: loop.__name__,
)
def test_loop_of_links_is_cut_and_told(
    tmp_path: Path, loop: Callable[[Path], list[tuple[str, str]]]
) -> None:
    root = tmp_path / "root"
    make(root, "a.mp4", "sub/b.mp4")
    expected = loop(root)
    found = list_files(root, "**/*.mp4")
    assert found.paths == ["a.mp4", "sub/b.mp4"]
    assert sorted(found.skipped) == expected


def test_folders_that_all_link_to_each_other_are_walked_in_few_ways(tmp_path: Path) -> None:
    folders = [tmp_path / f"f{number}" for number in range(6)]
    for folder in folders:
        make(folder, "a")
        for other in folders:
            if other != folder:
                (folder / f"to_{other.name}").symlink_to(other)
    found = list_files(tmp_path, "**/*")
    assert len(found.paths) == 6 + 6 * 5 + 6 * 5 * 4 + 6 * 5 * 4 * 3
    assert {reason for _, reason in found.skipped} == {BACK, "a link inside 3 others"}


def test_broken_links_and_pipes_are_told_and_the_rest_is_found(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4")
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    found = list_files(tmp_path, "**/*")
    assert found.paths == ["a.mp4"]
    assert sorted(found.skipped) == [("gone", "a broken link"), ("pipe", "no file and no folder")]


# What cannot be read; these tests run as root too, whom no permission stops.


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a folder unreadable, for root too."""
    unreadable: set[str] = set()
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if path in unreadable:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    return lambda folder: unreadable.add(os.fspath(folder))


def test_unreadable_folder_is_told_and_the_others_are_read(
    tmp_path: Path, locked: Callable[[Path], None]
) -> None:
    make(tmp_path, "a/1.mp4", "b/2.mp4", "c/3.mp4")
    locked(tmp_path / "b")
    found = list_files(tmp_path, "**/*")
    assert found == (["a/1.mp4", "c/3.mp4"], [1, 1], [("b", "Permission denied")])


def test_unreadable_root_is_told(tmp_path: Path, locked: Callable[[Path], None]) -> None:
    locked(tmp_path)
    assert list_files(tmp_path, "**/*") == ([], [], [(".", "Permission denied")])


def test_folder_deleted_during_the_walk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/1.mp4", "b/2.mp4")
    scandir = os.scandir

    def delete_b(path: str) -> Any:
        if path.endswith("/a"):
            (tmp_path / "b" / "2.mp4").unlink()
            (tmp_path / "b").rmdir()
        return scandir(path)

    monkeypatch.setattr(listing.os, "scandir", delete_b)
    found = list_files(tmp_path, "**/*")
    assert found == (["a/1.mp4"], [1], [("b", "No such file or directory")])


def test_file_that_cannot_be_asked_its_size_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "bad", "good")

    class Entry:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self._entry = entry
            self.name = entry.name

        def is_file(self) -> bool:
            return self._entry.is_file()

        def stat(self) -> os.stat_result:
            if self.name == "bad":
                raise OSError(5, "Input/output error")
            return self._entry.stat()

    class Scan:
        def __init__(self, path: str) -> None:
            self._entries = scandir(path)

        def __enter__(self) -> Iterator[Entry]:
            return map(Entry, self._entries)

        def __exit__(self, *_: object) -> None:
            self._entries.close()

    scandir = os.scandir
    monkeypatch.setattr(listing.os, "scandir", Scan)
    found = list_files(tmp_path, "**/*")
    assert found == (["good"], [1], [("bad", "Input/output error")])


# Against pathlib

part = st.text("ab-.1", min_size=1, max_size=3).filter(lambda name: name[0] != ".")
trees = st.lists(st.lists(part, min_size=1, max_size=4).map("/".join), max_size=12)
PATTERNS = ("**/*", "*", "*a", "**/*a", "a/*", "**/a/*", "a/**/*", "*/b*", "**/[ab]?", "?/**/*1")


@settings(deadline=None, max_examples=60)
@given(trees, st.sampled_from(PATTERNS))
def test_random_tree_is_listed_as_pathlib_does(tree: list[str], pattern: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, path in enumerate(tree):
            try:
                make(root, path, size=number)
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                continue  # the path of a file is the folder of another
        files = {path for path in root.glob(pattern) if path.is_file()}
        expected = sorted(
            (path.relative_to(root).as_posix(), path.stat().st_size) for path in files
        )
        found = list_files(root, pattern)
        assert list(zip(found.paths, found.sizes, strict=True)) == expected
        assert found.skipped == []
        folders = list_folders(root, pattern)
        assert folders.paths == sorted({path.parent.relative_to(root).as_posix() for path in files})
        assert sum(folders.sizes) == sum(size for _, size in expected)
