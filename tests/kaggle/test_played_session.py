"""Versions of one notebook, played as on Kaggle: ended in time, killed, and going on from each other."""

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
from tests.kaggle.conftest import DISK_MEGABYTES, Kaggle, Version
from tests.mounts import require_mount

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NUMBER = 12
#: Of a file of each job, where all of them are more than the disk may hold.
SIZE = 24_000_000
CLIPS = {f"{number:02}.txt" for number in range(NUMBER)}
#: The notebook, the same in every version. Inputs from number ``QUICK`` on never end.
CELLS = [
    "import os, time\nimport foregsyte_kaggle as fk",
    """@fk.pipeline("measure")
def measure(path, job):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(path.name + "\\n")
    while int(path.stem) >= int(os.environ["QUICK"]):
        time.sleep(0.05)
    time.sleep(float(os.environ["PAUSE"]))
    job.output_path("size.txt").write_text(str(path.stat().st_size).ljust(int(os.environ["BYTES"])))
    return {"size": path.stat().st_size}""",
    'fk.bootstrap(resume=os.environ.get("RESUME", "auto"))',
    'fk.register_jobs("ann/match-clips", "measure", pattern="*.txt")',
    # As where a competition tells its limit; 10 minutes of it are kept for what comes after the run.
    """if "SECONDS" in os.environ:
    limit = fk.environment().session_age_seconds + 600 + float(os.environ["SECONDS"])
    os.environ["FOREGSYTE_SESSION_LIMIT"] = str(limit)
run = fk.run_jobs("measure", workers=2)
print("ended by", run.ended_by)""",
    "fk.job_table()",
]
layouts = pytest.mark.parametrize("layout", ["old", "new"])


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


def play(kaggle: Kaggle, quick: int, size: int = 0, **options: object) -> tuple[Version, list[str]]:
    """Play a version; return it with the names of the inputs that its pipeline was called for."""
    calls = kaggle.folder / "calls"
    calls.write_text("")
    # A run looks at the disk twice a second, so what fills it must take its time.
    pause = "0.5" if size else "0.05"
    told = {"CALLS": str(calls), "QUICK": str(quick), "BYTES": str(size), "PAUSE": pause}
    version = kaggle.play(CELLS, **told, **options)  # type: ignore[arg-type]
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
    """A version that went on from the first and was killed at work, with its log not yet in its ledger."""
    inputs = {"datasets/ann/match-clips": clips, "notebooks/ann/first-run": first.folder}
    kaggle.attach("new", inputs)

    def has_done_more(ledger: Path) -> bool:
        try:
            return len(completed(ledger)) >= 8
        except (duckdb.Error, OSError, subprocess.CalledProcessError):  # not there, or half written
            return False

    return play(kaggle, quick=8, limit_seconds=10, ripe=has_done_more)[0]


@pytest.fixture(scope="module", params=["old", "new"])
def third(
    kaggle: Kaggle, clips: Path, first: Version, request: pytest.FixtureRequest
) -> tuple[str, Version, list[str]]:
    """A version that went on from the first, in either layout; with what it called its pipeline for."""
    inputs = {"datasets/ann/match-clips": clips, "notebooks/ann/first-run": first.folder}
    kaggle.attach(request.param, inputs)
    return (request.param, *play(kaggle, quick=NUMBER))


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


def test_version_goes_on_from_the_first_when_the_one_between_is_lost(
    first: Version, killed: Version, third: tuple[str, Version, list[str]]
) -> None:
    _, version, called = third
    assert (killed.status, version.status) == (-signal.SIGKILL, 0)
    earlier = completed(first.ledger)
    assert completed(version.ledger) == CLIPS
    assert set(called) == CLIPS - earlier
    assert attempts(version.ledger) == dict.fromkeys(CLIPS, 1)
    assert f"{len(earlier)} of {NUMBER} jobs are completed" in version.notebook
    assert_page_has_the_table(version)


def test_of_two_attached_versions_the_later_counts_and_nothing_is_done_again(
    kaggle: Kaggle, clips: Path, first: Version, third: tuple[str, Version, list[str]]
) -> None:
    layout, later, _ = third
    inputs = {
        "datasets/ann/match-clips": clips,
        "notebooks/ann/a-later-run": later.folder,
        "notebooks/ann/first-run": first.folder,
    }
    kaggle.attach(layout, inputs)
    fourth, called = play(kaggle, quick=NUMBER)
    assert fourth.status == 0
    assert called == []
    assert completed(fourth.ledger) == CLIPS
    assert attempts(fourth.ledger) == dict.fromkeys(CLIPS, 1)
    assert_page_has_the_table(fourth)


@layouts
def test_killed_version_whose_output_was_kept_wins_over_the_one_it_came_from(
    kaggle: Kaggle, clips: Path, first: Version, killed: Version, layout: str
) -> None:
    assert killed.ledger.with_name("foregsyte.duckdb.wal").stat().st_size
    inputs = {
        "datasets/ann/match-clips": clips,
        "notebooks/ann/first-run": first.folder,
        "notebooks/ann/killed-run": killed.folder,
    }
    kaggle.attach(layout, inputs)
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


@layouts
def test_stranger_s_ledger_is_an_error_that_lists_both_and_a_name_solves_it(
    kaggle: Kaggle, clips: Path, first: Version, tmp_path: Path, layout: str
) -> None:
    workspace = fk.bootstrap(tmp_path / "stranger", resume=False)
    fk.register_jobs(clips, "file_info", name="other")
    workspace.close()
    inputs = {
        "datasets/ann/match-clips": clips,
        "notebooks/ann/first-run": first.folder,
        "notebooks/bob/other-work": tmp_path / "stranger",
    }
    kaggle.attach(layout, inputs)
    refused, called = play(kaggle, quick=NUMBER)
    assert refused.status == 1
    assert called == []
    assert "2 different ledgers are attached" in refused.notebook
    for name in ("first-run", "other-work"):
        assert f"{name}/data/foregsyte.duckdb" in refused.notebook
    chosen, called = play(kaggle, quick=NUMBER, RESUME="ann/first-run")
    assert chosen.status == 0
    assert set(called) == CLIPS - completed(first.ledger)
    assert completed(chosen.ledger) == CLIPS
    assert_page_has_the_table(chosen)


def test_version_that_fills_its_disk_is_saved_and_the_next_one_goes_on(
    kaggle: Kaggle, clips: Path
) -> None:
    require_mount()
    kaggle.attach("old", {"datasets/ann/match-clips": clips})
    full, _ = play(kaggle, quick=NUMBER, size=SIZE)
    assert full.status == 0
    json.loads(full.notebook)
    assert "ended by disk" in full.notebook
    assert "are kept free" in full.notebook
    assert_page_has_the_table(full)
    done = completed(full.ledger)
    assert done
    assert done < CLIPS
    # The reserve, less what two workers had begun and handed out meanwhile, is left to save the version.
    written = sum(path.stat().st_size for path in full.folder.rglob("*") if path.is_file())
    assert written < (DISK_MEGABYTES << 20) - 500_000_000 + 4 * SIZE
    inputs = {"datasets/ann/match-clips": clips, "notebooks/ann/full-run": full.folder}
    kaggle.attach("new", inputs)
    after, called = play(kaggle, quick=NUMBER)
    assert after.status == 0
    assert set(called) == CLIPS - done
    assert completed(after.ledger) == CLIPS
    assert_page_has_the_table(after)
