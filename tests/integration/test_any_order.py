"""Whatever the order of register, run, retry and reopen, the ledger equals a model of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import foregsyte_kaggle as fk

NAMES = [f"{letter}.txt" for letter in "abcde"]


class Ledger(RuleBasedStateMachine):
    """The model: each registered input's status, tries, size, and the rows that it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path.cwd()
        self.folder = Path(tempfile.mkdtemp(prefix="any-order-"))
        os.chdir(self.folder)
        Path("inputs").mkdir()
        self.files: dict[str, int] = {}
        self.status: dict[str, str] = {}
        self.tries: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.rows: dict[str, int] = {}
        self.bad: set[str] = set()
        self.closed: list[tuple[object, ...]] = []

    @initialize()
    def open(self) -> None:
        self.workspace = fk.bootstrap()
        machine = self

        @fk.pipeline("p")
        def work(path: Path) -> list[dict[str, int]]:
            if path.name in machine.bad:
                raise ValueError(path.name)
            return [{"size": path.stat().st_size, "row": row} for row in range(2)]

    @rule(name=st.sampled_from(NAMES), size=st.integers(0, 3))
    def write(self, name: str, size: int) -> None:
        Path("inputs", name).write_text("x" * size)
        self.files[name] = size

    @rule(bad=st.sets(st.sampled_from(NAMES)))
    def choose_the_bad(self, bad: set[str]) -> None:
        self.bad = bad

    @rule(keep=st.booleans())
    def register(self, keep: bool) -> None:
        if not self.files:
            with pytest.raises(fk.SourceError):
                fk.register_jobs("inputs", "p")
            return
        made = fk.register_jobs("inputs", "p", on_change="keep" if keep else "rerun")
        new = self.files.keys() - self.status.keys()
        changed = {n for n in self.status if self.sizes[n] != self.files[n]}
        assert (made.added, made.changed, made.total) == (len(new), len(changed), len(self.files))
        for name in new:
            self.status[name], self.tries[name] = "pending", 0
        if not keep:
            for name in changed:
                self.status[name] = "pending"
        self.sizes = dict(self.files)

    @rule(
        limit=st.sampled_from([None, 1, 2]),
        executor=st.sampled_from(["inline", "threads"]),
        tries=st.sampled_from([1]),
    )
    def run(self, limit: int | None, executor: str, tries: int) -> None:
        waiting = [name for name in self.in_order() if self.status[name] == "pending"][:limit]
        made = fk.run_jobs(
            "p", limit=limit, executor=executor, max_attempts=tries, workers=2, progress=False
        )
        assert made.completed + made.failed == len(waiting)
        for name in waiting:
            self.tries[name] += 1
            if name in self.bad:
                self.status[name] = "failed"
            else:
                self.status[name], self.rows[name] = "completed", self.files[name]

    @rule(status=st.sampled_from(["failed", "completed"]))
    def retry(self, status: str) -> None:
        chosen = [name for name, was in self.status.items() if was == status]
        assert fk.retry_jobs("p", status=status) == len(chosen)
        for name in chosen:
            self.status[name] = "pending"

    @rule()
    def reopen(self) -> None:
        self.workspace.close()
        self.workspace = fk.bootstrap()

    @rule()
    def bootstrap_again(self) -> None:
        assert fk.bootstrap() is self.workspace

    def in_order(self) -> list[str]:
        return list(fk.jobs_frame().input_path)

    @invariant()
    def ledger_equals_model(self) -> None:
        if not hasattr(self, "workspace"):
            return
        jobs = fk.jobs_frame()
        assert dict(zip(jobs.input_path, jobs.status.astype(str), strict=True)) == self.status
        assert dict(zip(jobs.input_path, jobs.attempts, strict=True)) == self.tries
        assert "running" not in set(jobs.status.astype(str))
        shown = fk.results_frame("p")
        done = {name for name, status in self.status.items() if status == "completed"}
        wanted = sorted((name, self.rows[name], row) for name in done for row in range(2))
        got = (
            sorted(shown[["input_path", "size", "row"]].itertuples(index=False, name=None))
            if done
            else []
        )
        assert got == wanted
        if not done:
            assert shown.empty

    @invariant()
    def attempts_never_change(self) -> None:
        if not hasattr(self, "workspace"):
            return
        found = fk.sql(
            "SELECT * EXCLUDE (output) FROM job_attempts ORDER BY attempt_id::VARCHAR"
        ).astype(str)
        rows = {row[0]: row for row in found.itertuples(index=False, name=None)}
        assert len(rows) == sum(self.tries.values())
        for row in self.closed:
            assert rows[row[0]] == row
        self.closed = list(rows.values())

    def teardown(self) -> None:
        self.workspace.close()
        os.chdir(self.home)
        shutil.rmtree(self.folder)


Ledger.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.integration
class TestAnyOrder(Ledger.TestCase):  # type: ignore[name-defined,misc]
    pass
