"""Versions of one notebook, played as on Kaggle: ended in time, killed, out of room, and going on from each other."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import duckdb
import pytest

import foregsyte_kaggle as fk
from tests.conftest import read_persisted
from tests.kaggle.conftest import Kaggle, Version
from tests.mounts import require_mount

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NUMBER = 12
CLIPS = {f"{number:02}.txt" for number in range(NUMBER)}
#: The notebook, the same in every version. Inputs from number ``QUICK`` on never end; each writes
#: ``MEGABYTES``, the one that is ``TOO_LARGE`` a hundred times as many.
CELLS = [
    "import os, time\nimport foregsyte_kaggle as fk",
    """@fk.pipeline("measure")
def measure(path, job):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(path.name + "\\n")
    while int(path.stem) >= int(os.environ["QUICK"]):
        time.sleep(0.05)
    time.sleep(0.05)
    job.output_path("size.txt").write_text(str(path.stat().st_size))
    megabytes = int(os.environ.get("MEGABYTES", "0"))
    if path.name == os.environ.get("TOO_LARGE"):
        megabytes *= 100
    if megabytes:
        time.sleep(0.6)  # longer than from one look at the disk to the next
        with job.output_path("frames.bin").open("wb") as frames:
            for _ in range(megabytes):
                frames.write(bytes(1_000_000))
    return {"size": path.stat().st_size}""",
    'fk.bootstrap(resume=os.environ.get("RESUME", "auto"))',
    'fk.register_jobs("ann/match-clips", "measure", pattern="*.txt")',
    "fk.retry_jobs()",
    # As where a competition tells its limit; 10 minutes of it are kept for what comes after the run.
    """if "SECONDS" in os.environ:
    limit = fk.environment().session_age_seconds + 600 + float(os.environ["SECONDS"])
    os.environ["FOREGSYTE_SESSION_LIMIT"] = str(limit)
time_limit = None if "WITHOUT_LIMIT" in os.environ else "auto"
fk.run_jobs("measure", workers=int(os.environ.get("WORKERS", "2")), time_limit=time_limit)""",
    "fk.job_table()",
]


def completed(ledger: Path) -> set[str]:
    rows = read_persisted(ledger, "SELECT input_path FROM jobs WHERE status = 'completed'")
    return {path for (path,) in rows}


def attempts(ledger: Path) -> dict[str, int]:
    """Return how often each input was begun, as the ledger has it."""
    return dict(
        read_persisted(
            ledger,
            "SELECT input_path, count(*) FROM job_attempts JOIN jobs USING (job_id) GROUP BY ALL",
        )
    )


def play(kaggle: Kaggle, quick: int, **options: object) -> tuple[Version, list[str]]:
    """Play a version; return it with the names of the inputs that its pipeline was called for."""
    calls = kaggle.folder / "calls"
    calls.write_text("")
    version = kaggle.play(CELLS, CALLS=str(calls), QUICK=str(quick), **options)  # type: ignore[arg-type]
    return version, calls.read_text().split()


def assert_page_has_the_table(version: Version) -> None:
    """Find all jobs in the saved page as a browser without scripts shows it."""
    page = re.sub(r"(?s)<script.*?</script>", "", version.page)
    tables = re.findall(r"(?s)<table.*?</table>", page)
    assert any(all(clip in table for clip in CLIPS) for table in tables)


@pytest.fixture(scope="module")
def clips(kaggle: Kaggle) -> Path:
    folder = kaggle.folder / "clips"
    folder.mkdir()
    for number, name in enumerate(sorted(CLIPS)):
        (folder / name).write_text("x" * number)
    return folder


@pytest.fixture(scope="module")
def first(kaggle: Kaggle, clips: Path) -> Version:
    """A version that ended by itself before its limit, with work left."""
    kaggle.attach("old", {"datasets/ann/match-clips": clips})
    return play(kaggle, quick=4, SECONDS="8")[0]


@pytest.fixture(scope="module")
def killed(kaggle: Kaggle, clips: Path, first: Version) -> Version:
    """A version that went on from the first, of a user who wanted no time limit.

    It was killed at the session's, at work, with its log not yet in its ledger.
    """
    inputs = {"datasets/ann/match-clips": clips, "notebooks/ann/first-run": first.folder}
    kaggle.attach("new", inputs)

    def has_done_more(ledger: Path) -> bool:
        if not ledger.exists():
            return False
        try:
            return len(completed(ledger)) >= 8
        except (duckdb.Error, subprocess.CalledProcessError):  # copied in the middle of a write
            return False

    return play(kaggle, quick=8, limit_seconds=5, ripe=has_done_more, WITHOUT_LIMIT="1")[0]


@pytest.fixture(scope="module")
def third(kaggle: Kaggle, clips: Path, first: Version) -> tuple[Version, list[str]]:
    """A version that went on from the first, in the other layout than the second; with what it called for."""
    inputs = {"datasets/ann/match-clips": clips, "notebooks/ann/first-run": first.folder}
    kaggle.attach("old", inputs)
    return play(kaggle, quick=NUMBER)


def test_version_ends_by_itself_before_the_limit_and_its_page_has_the_table(first: Version) -> None:
    assert first.status == 0
    assert "time is up" in first.notebook
    done = completed(first.ledger)
    assert done
    assert done < CLIPS
    assert not first.ledger.with_name("foregsyte.duckdb.wal").exists()
    assert_page_has_the_table(first)


def test_log_of_a_version_is_not_flooded_by_the_bar(first: Version) -> None:
    cells = json.loads(first.notebook)["cells"]
    outputs = [out for cell in cells for out in cell["outputs"] if out["output_type"] == "stream"]
    bars = "".join("".join(out["text"]) for out in outputs if out["name"] == "stderr")
    # The first and the last; each is a line of the log.
    assert 1 <= bars.count("measure:") <= 3


@pytest.mark.slow
def test_version_goes_on_from_the_first_when_the_one_between_is_lost(
    first: Version, killed: Version, third: tuple[Version, list[str]]
) -> None:
    version, called = third
    assert (killed.status, version.status) == (-signal.SIGKILL, 0)
    earlier = completed(first.ledger)
    assert completed(version.ledger) == CLIPS
    assert set(called) == CLIPS - earlier
    assert attempts(version.ledger) == dict.fromkeys(CLIPS, 1)
    assert f"{len(earlier)} of {NUMBER} jobs are completed" in version.notebook
    assert_page_has_the_table(version)


@pytest.mark.slow
def test_of_two_attached_versions_the_later_counts_and_nothing_is_done_again(
    kaggle: Kaggle, clips: Path, first: Version, third: tuple[Version, list[str]]
) -> None:
    later, _ = third
    inputs = {
        "datasets/ann/match-clips": clips,
        "notebooks/ann/a-later-run": later.folder,
        "notebooks/ann/first-run": first.folder,
    }
    kaggle.attach("new", inputs)
    fourth, called = play(kaggle, quick=NUMBER)
    assert fourth.status == 0
    assert called == []
    assert completed(fourth.ledger) == CLIPS
    assert attempts(fourth.ledger) == dict.fromkeys(CLIPS, 1)
    assert_page_has_the_table(fourth)


@pytest.mark.slow
def test_killed_version_whose_output_was_kept_wins_over_the_one_it_came_from(
    kaggle: Kaggle, clips: Path, first: Version, killed: Version
) -> None:
    assert killed.ledger.with_name("foregsyte.duckdb.wal").stat().st_size
    inputs = {
        "datasets/ann/match-clips": clips,
        "notebooks/ann/first-run": first.folder,
        "notebooks/ann/killed-run": killed.folder,
    }
    kaggle.attach("old", inputs)
    last, called = play(kaggle, quick=NUMBER)
    assert last.status == 0
    earlier = completed(killed.ledger)
    assert earlier > completed(first.ledger)
    assert completed(last.ledger) == CLIPS
    assert set(called) == CLIPS - earlier
    tries = attempts(last.ledger)
    assert {name: tries[name] for name in earlier} == dict.fromkeys(earlier, 1)
    assert "killed-run/data/foregsyte.duckdb" in last.notebook
    assert_page_has_the_table(last)


@pytest.mark.slow
def test_stranger_s_ledger_is_an_error_that_lists_both_and_a_name_solves_it(
    kaggle: Kaggle, clips: Path, first: Version, tmp_path: Path
) -> None:
    workspace = fk.bootstrap(tmp_path / "stranger", resume=False)
    fk.register_jobs(clips, "file_info", name="other")
    workspace.close()
    inputs = {
        "datasets/ann/match-clips": clips,
        "notebooks/ann/first-run": first.folder,
        "notebooks/bob/other-work": tmp_path / "stranger",
    }
    kaggle.attach("old", inputs)
    refused, called = play(kaggle, quick=NUMBER)
    assert refused.status == 1
    assert called == []
    assert "2 different ledgers are attached" in refused.notebook
    for name in ("first-run", "other-work"):
        assert f"{name}/data/foregsyte.duckdb" in refused.notebook
    kaggle.attach("new", inputs)
    chosen, called = play(kaggle, quick=NUMBER, RESUME="ann/first-run")
    assert chosen.status == 0
    assert set(called) == CLIPS - completed(first.ledger)
    assert completed(chosen.ledger) == CLIPS
    assert_page_has_the_table(chosen)


def test_full_disk_fails_one_job_then_ends_the_run_and_the_next_version_does_the_rest(
    kaggle: Kaggle, clips: Path
) -> None:
    require_mount()
    kaggle.attach("new", {"datasets/ann/match-clips": clips})
    sizes = {"MEGABYTES": "24", "TOO_LARGE": "03.txt"}
    full, _ = play(kaggle, quick=NUMBER, WORKERS="1", **sizes)
    assert full.status == 0
    assert "the disk of the working folder is nearly full" in full.notebook
    assert_page_has_the_table(full)
    assert read_persisted(full.ledger, "SELECT ended_by FROM runs") == [("disk",)]
    ((failed, message),) = read_persisted(
        full.ledger, "SELECT input_path, error_message FROM jobs WHERE status = 'failed'"
    )
    assert failed == "03.txt"
    assert "No space left on device" in message
    earlier = completed(full.ledger)
    assert earlier
    left = read_persisted(full.ledger, "SELECT count(*) FROM jobs WHERE status = 'pending'")
    assert left == [(NUMBER - 1 - len(earlier),)]
    assert left > [(0,)]

    kaggle.attach("old", {"datasets/ann/match-clips": clips, "notebooks/ann/full-run": full.folder})
    rest, called = play(kaggle, quick=NUMBER)
    assert rest.status == 0
    assert set(called) == CLIPS - earlier
    assert completed(rest.ledger) == CLIPS
    assert_page_has_the_table(rest)


def test_what_is_attached_cannot_be_written_to_by_root_either(kaggle: Kaggle, clips: Path) -> None:
    require_mount()
    kaggle.attach("new", {"datasets/ann/match-clips": clips})
    with kaggle.mounted(), pytest.raises(OSError, match="Read-only file system"):
        (kaggle.inputs / "beside.txt").touch()
