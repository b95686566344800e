"""The room that a run leaves on the disk, on a disk whose size the test sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from foregsyte_kaggle import disk
from foregsyte_kaggle.disk import DiskWatch, find_disk_watch, has_files
from foregsyte_kaggle.errors import InvalidArgumentError

pytestmark = pytest.mark.unit

TOTAL = 20_000_000_000


class Disk:
    def __init__(self) -> None:
        self.free: int | None = TOTAL
        self.said: list[str] = []

    def space(self, _folder: Path) -> tuple[int, int] | None:
        return None if self.free is None else (self.free, TOTAL)

    def watch(self, folder: Path, reserve: str | int | None = "auto") -> DiskWatch | None:
        return find_disk_watch(reserve, folder, folder / "outputs", self.said.append)


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk that is looked at each time."""
    made = Disk()
    monkeypatch.setattr(disk, "disk_space", made.space)
    monkeypatch.setattr(disk, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(disk, "COUNT_SECONDS", 0.0)
    return made


@pytest.fixture
def on_kaggle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")


@pytest.mark.usefixtures("on_kaggle")
def test_on_kaggle_it_warns_once_and_then_says_that_the_disk_is_low(
    drive: Disk, tmp_path: Path
) -> None:
    watch = drive.watch(tmp_path)
    assert watch is not None
    assert not watch.is_low()
    assert not drive.said
    drive.free = 999_000_000
    assert not watch.is_low()
    assert not watch.is_low()
    (said,) = drive.said
    assert said == (
        "the disk of the working folder fills up: 999.0 MB free of 20.0 GB, and 500.0 MB are kept free;"
        " below that the run begins no more jobs"
    )
    drive.free = 499_999_999
    assert watch.is_low()
    assert watch.reason.startswith("500.0 MB free of 20.0 GB")
    drive.free = TOTAL
    assert not watch.is_low()


@pytest.mark.parametrize("reserve", ["auto", "AUTO", None, 0, "0 B"])
def test_elsewhere_nothing_is_kept_unless_asked_for(
    drive: Disk, tmp_path: Path, reserve: str | int | None
) -> None:
    assert drive.watch(tmp_path, reserve) is None


def test_what_is_asked_for_is_kept_anywhere(drive: Disk, tmp_path: Path) -> None:
    watch = drive.watch(tmp_path, "1GB")
    assert watch is not None
    drive.free = 999_999_999
    assert watch.is_low()


@pytest.mark.usefixtures("on_kaggle")
def test_reserve_may_be_switched_off_on_kaggle_too(drive: Disk, tmp_path: Path) -> None:
    watch = drive.watch(tmp_path, None)
    assert watch is not None
    drive.free = 0
    assert not watch.is_low()
    assert not drive.said


@pytest.mark.usefixtures("on_kaggle")
def test_disk_that_does_not_tell_stops_nothing(drive: Disk, tmp_path: Path) -> None:
    watch = drive.watch(tmp_path)
    assert watch is not None
    drive.free = None
    assert not watch.is_low()


def test_disk_is_not_looked_at_all_the_time(
    drive: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "LOOK_SECONDS", 1000.0)
    watch = drive.watch(tmp_path, "1GB")
    assert watch is not None
    assert not watch.is_low()
    drive.free = 0
    assert not watch.is_low()


def test_reserve_that_is_no_amount_is_an_error(drive: Disk, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="disk_reserve='much'"):
        drive.watch(tmp_path, "much")


@pytest.mark.usefixtures("on_kaggle")
def test_many_output_files_are_told_once(
    drive: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "MANY_FILES", 4)
    watch = drive.watch(tmp_path)
    assert watch is not None
    watch.is_low()
    for name in ("p/a", "p/b", "q/frames/c", "q/.partial/d"):
        path = tmp_path / "outputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    watch.is_low()
    assert not drive.said
    (tmp_path / "outputs" / "e.zip").touch()
    watch.count_files()
    watch.count_files()
    (said,) = drive.said
    assert "4 files or more in data/outputs" in said
    assert "pack_outputs()" in said


def test_files_are_not_counted_further_than_needed(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).touch()
    assert has_files(tmp_path, 5)
    assert not has_files(tmp_path, 6)
    assert not has_files(tmp_path / "nowhere", 1)
