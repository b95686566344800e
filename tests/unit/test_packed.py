"""Output files in an archive: taken out again, however many they are."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from foregsyte_kaggle.packed import Archives

pytestmark = pytest.mark.unit


def write_folders(archive: Path, folders: int, files: int) -> None:
    with zipfile.ZipFile(archive, "w") as opened:
        for folder in range(folders):
            opened.writestr(f"p/{folder}/", b"")
            opened.writestr(f"p/{folder}/deep/", b"")
            for file in range(files):
                opened.writestr(f"p/{folder}/deep/{file}.txt", "x" * folder)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many names each listing of an archive gave."""
    counts: list[int] = []
    for name in ("namelist", "infolist"):
        real = getattr(zipfile.ZipFile, name)

        def count(self: zipfile.ZipFile, real: object = real) -> list[object]:
            found: list[object] = real(self)  # type: ignore[operator]
            counts.append(len(found))
            return found

        monkeypatch.setattr(zipfile.ZipFile, name, count)
    return counts


def test_an_archive_is_listed_once_however_many_folders_are_taken_out(
    tmp_path: Path, listed: list[int]
) -> None:
    archive = tmp_path / "packed-1.zip"
    write_folders(archive, folders=20, files=3)
    with Archives() as archives:
        for folder in range(20):
            member = f"p/{folder}"
            assert archives.hold(archive, member)
            assert sum(archives.sizes(archive, member)) == 3 * folder
            found = archives.take_out(archive, member, tmp_path / "out")
            texts = {path.name: path.read_text() for path in (found / "deep").iterdir()}
            assert texts == {f"{file}.txt": "x" * folder for file in range(3)}
    assert listed == [20 * 5]


def test_a_folder_brings_nothing_of_one_whose_name_begins_alike(
    tmp_path: Path, listed: list[int]
) -> None:
    archive = tmp_path / "packed-1.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name in ("p/1/", "p/1/a", "p/10/", "p/10/b", "p/1.txt", "q/1/", "q/1/c"):
            opened.writestr(name, b"")
    with Archives() as archives:
        assert archives.hold(archive, "p/1.txt")
        archives.take_out(archive, "p/1.txt", tmp_path / "file")
        assert listed == [], "for a file nothing is listed"
        assert archives.hold(archive, "p/1")
        archives.take_out(archive, "p/1", tmp_path / "folder")
    for folder, names in (("file", ["p", "p/1.txt"]), ("folder", ["p", "p/1", "p/1/a"])):
        out = tmp_path / folder
        assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == names
