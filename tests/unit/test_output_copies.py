"""Output files copied from one workspace to another: all of them, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from foregsyte_kaggle.errors import LedgerError
from foregsyte_kaggle.packed import Archives
from foregsyte_kaggle.surroundings import room
from foregsyte_kaggle.transfer.output_files import Output, copy_outputs

pytestmark = pytest.mark.unit


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "frames" / "deep").mkdir(parents=True)
    (folder / "frames" / "deep" / "1.txt").write_text("one")
    (folder / "a.txt").write_text("new")
    return folder


def test_when_one_cannot_come_to_its_place_those_before_it_are_removed(
    tmp_path: Path, source: Path
) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (outputs / "blocked").write_text("a file where a folder should be")
    wanted = {
        outputs / "p" / "a.txt": Output(source / "a.txt"),
        outputs / "p" / "frames": Output(source / "frames"),
        outputs / "blocked" / "b.txt": Output(source / "a.txt"),
    }
    with Archives() as archives, pytest.raises(LedgerError, match=r"b\.txt: .*\. Do this\."):
        copy_outputs(wanted, archives, outputs, "Do this.")
    assert [path.name for path in outputs.rglob("*") if path.is_file()] == ["blocked"]
    assert not (outputs / ".partial").exists()
    (outputs / "blocked").unlink()
    with Archives() as archives:
        assert copy_outputs(wanted, archives, outputs, "Do this.") == []
    assert (outputs / "p" / "frames" / "deep" / "1.txt").read_text() == "one"
    assert (outputs / "blocked" / "b.txt").read_text() == "new"


def test_small_files_need_a_block_each_and_no_file_needs_nothing(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "disk_space", lambda _folder: (8_191, 10**9))
    outputs = tmp_path / "outputs"
    wanted = {
        outputs / "frames": Output(source / "frames"),
        outputs / "a": Output(source / "a.txt"),
    }
    with Archives() as archives:
        with pytest.raises(LedgerError, match=r"8\.2 kB are needed, and 8\.2 kB are free"):
            copy_outputs(wanted, archives, outputs, "")
        assert not outputs.exists()
        assert copy_outputs({}, archives, outputs, "") == []
        monkeypatch.setattr(room, "disk_space", lambda _folder: (8_192, 10**9))
        copy_outputs(wanted, archives, outputs, "")
    assert (outputs / "a").read_text() == "new"
