"""Any order of register, run, stop, retry, crash, changed input and reopen keeps the ledger true to a plain model."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import foregsyte_kaggle as fk
from foregsyte_kaggle import backlog, ledger
from foregsyte_kaggle.ledger import Selection
from foregsyte_kaggle.registry import registered
from tests.conftest import copy_files

pytestmark = pytest.mark.integration

NAMES = [f"{number}.txt" for number in range(6)]
PLANS = (
    "rows",
    "rows",
    "no rows",
    "another type",
    "raises",
    "returns nonsense",
    "cannot be stored",
)
FAILING = {"raises", "returns nonsense", "cannot be stored"}
PLANS_OF_A_RUN = st.fixed_dictionaries({name: st.sampled_from(PLANS) for name in NAMES})


@dataclass
class ModelJob:
    """What the ledger must say of one job."""

    size: int
    status: str = "pending"
    attempts: int = 0
    interruptions: int = 0
    history: list[tuple[int, str]] = field(default_factory=list)
    rows: int | None = None
    """Rows of its last completion."""

    def put_back(self) -> None:
        self.status, self.interruptions = "pending", 0


class Ledger(RuleBasedStateMachine):
    """A workspace, and beside it the model that it is compared with after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.before = Path.cwd()
        self.folder = Path(tempfile.mkdtemp(prefix="foregsyte-test-"))
        os.chdir(self.folder)
        Path("inputs").mkdir()
        self.plans: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.jobs: dict[str, ModelJob] = {}
        self.order: list[str] = []
        self.attempts: dict[str, tuple[Any, ...]] = {}
        self.output = contextlib.redirect_stdout(io.StringIO())
        self.output.__enter__()
        self.define_pipeline()
        self.workspace = fk.bootstrap()
        for name in NAMES[:3]:
            self.write(name, 1)
        self.register("rerun")

    def define_pipeline(self) -> None:
        plans = str(self.folder / "plans.json")

        @fk.pipeline("p", version="1")
        def follow(path: Path, job: fk.JobContext) -> Any:
            with open(plans) as file:
                plan = json.load(file)[path.name]
            if plan == "stops":
                raise KeyboardInterrupt
            if plan == "raises":
                raise ValueError(path.name)
            if plan == "returns nonsense":
                return 42
            if plan == "cannot be stored":
                return {"value": object()}
            if plan == "no rows":
                return None
            value: Any = job.attempt if plan == "rows" else [path.name, job.attempt / 2]
            return [{"name": path.name, "value": value}] * 2

    def teardown(self) -> None:
        self.workspace.close()
        self.output.__exit__(None, None, None)
        registered._registered.pop("p", None)
        os.chdir(self.before)
        shutil.rmtree(self.folder)

    # What happens

    @precondition(lambda self: len(self.sizes) < len(NAMES))
    @rule(names=st.sets(st.sampled_from(NAMES[3:]), min_size=1))
    def add_inputs(self, names: set[str]) -> None:
        for name in sorted(names - self.sizes.keys()):
            self.write(name, 1)

    @rule(data=st.data())
    def change_an_input(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.sizes)))
        self.write(name, self.sizes[name] + 1)

    def write(self, name: str, size: int) -> None:
        Path("inputs", name).write_text("x" * size)
        self.sizes[name] = size

    @rule(on_change=st.sampled_from(["rerun", "keep"]))
    def register(self, on_change: str) -> None:
        made = fk.register_jobs("inputs", "p", on_change=on_change)
        new = [name for name in sorted(self.sizes) if name not in self.jobs]
        changed = [name for name in self.jobs if self.jobs[name].size != self.sizes[name]]
        assert (made.added, made.changed) == (len(new), len(changed))
        for name in new:
            self.jobs[name] = ModelJob(self.sizes[name])
            self.order.append(name)
        for name in changed:
            job = self.jobs[name]
            if on_change == "rerun" and job.status != "pending":
                job.put_back()
            if job.status == "pending":  # a finished one keeps the size that it finished with
                job.size = self.sizes[name]

    @rule(
        plans=PLANS_OF_A_RUN,
        executor=st.sampled_from(["inline"] * 4 + ["threads"] * 4 + ["processes"]),
        limit=st.none() | st.integers(1, 4),
        max_attempts=st.sampled_from([1, 1, 2]),
    )
    def run(
        self, plans: dict[str, str], executor: str, limit: int | None, max_attempts: int
    ) -> None:
        chosen = self.waiting()[:limit]
        made = self.call(plans, executor, limit, max_attempts)
        for name in chosen:
            self.end(name, plans[name], max_attempts)
        assert made.completed == sum(plans[name] not in FAILING for name in chosen)
        assert made.failed == len(chosen) - made.completed
        assert made.returned == 0

    @precondition(lambda self: self.waiting())
    @rule(
        plans=PLANS_OF_A_RUN,
        data=st.data(),
    )
    def run_that_is_stopped(self, plans: dict[str, str], data: st.DataObject) -> None:
        """Inline, where the jobs before the one that is stopped have ended and the others have not."""
        chosen = self.waiting()
        stopped = data.draw(st.sampled_from(chosen))
        with pytest.raises(KeyboardInterrupt):
            self.call({**plans, stopped: "stops"}, "inline", None, 1)
        for name in chosen[: chosen.index(stopped)]:
            self.end(name, plans[name], 1)

    @rule(status=st.sampled_from(["failed", "completed"]), data=st.data())
    def retry(self, status: str, data: st.DataObject) -> None:
        names = data.draw(st.none() | st.sets(st.sampled_from(sorted(self.jobs)), min_size=1))
        ids = None
        if names is not None:
            ids = [job_id for name, job_id in self.ids().items() if name in names]
        moved = [
            job
            for name, job in self.jobs.items()
            if job.status == status and (names is None or name in names)
        ]
        assert fk.retry_jobs(status=status, job_ids=ids) == len(moved)
        for job in moved:
            job.put_back()

    @rule()
    def reopen(self) -> None:
        self.workspace.close()
        self.workspace = fk.bootstrap()

    @rule(most=st.integers(1, 3))
    def crash_in_a_run(self, most: int) -> None:
        """The process dies after a claim, with what it committed since the last checkpoint in the log."""
        run_id = uuid.uuid4()
        waiting = self.waiting()
        interrupted = bool(waiting) and self.jobs[waiting[0]].interruptions > 0
        claimed = waiting[: 1 if interrupted else most]
        claimed = [name for name in claimed if bool(self.jobs[name].interruptions) == interrupted]
        taken = ledger.claim(
            self.workspace.database,
            run_id,
            Selection("p"),
            code_version="1",
            first=0,
            last=10**6,
            limit=1 if interrupted else most,
            interrupted=interrupted,
        )
        assert len(taken.positions) == len(claimed)
        self.close_as_a_crash_does()
        self.workspace = fk.bootstrap()
        for name in claimed:
            job = self.jobs[name]
            job.attempts += 1
            job.history.append((job.attempts, "interrupted"))
            job.status = "failed" if job.interruptions else "pending"
            job.interruptions += 1

    def close_as_a_crash_does(self) -> None:
        """Close the ledger, then put back the file and the log as they were before, without a checkpoint."""
        file = self.workspace.ledger_path
        assert file is not None
        with tempfile.TemporaryDirectory() as folder:
            # What a read of this process would break is its lock on the file, so another one copies.
            copy = copy_files(file, Path(folder))
            assert copy.with_name(f"{copy.name}.wal").stat().st_size
            self.workspace.close()
            for left in copy.parent.iterdir():
                shutil.copyfile(left, file.with_name(left.name))

    # The model

    def waiting(self) -> list[str]:
        """Pending jobs in the order they run: by position, those that a crash interrupted last."""
        pending = [name for name in self.order if self.jobs[name].status == "pending"]
        return sorted(pending, key=lambda name: self.jobs[name].interruptions > 0)

    def call(
        self, plans: dict[str, str], executor: str, limit: int | None, max_attempts: int
    ) -> fk.Run:
        Path("plans.json").write_text(json.dumps(plans))
        return fk.run_jobs(
            "p",
            executor=executor,
            limit=limit,
            max_attempts=max_attempts,
            workers=2,
            progress=False,
        )

    def end(self, name: str, plan: str, max_attempts: int) -> None:
        job = self.jobs[name]
        # What the ledger cannot store is found when it is recorded, and is not tried again.
        tries = max_attempts if plan in {"raises", "returns nonsense"} else 1
        outcome = "failed" if plan in FAILING else "completed"
        for _ in range(tries):
            job.attempts += 1
            job.history.append((job.attempts, outcome))
        job.status = outcome
        if outcome == "completed":
            job.rows = 0 if plan == "no rows" else 2

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with self.workspace.database.reading() as cursor:
            return cursor.execute(text).fetchall()

    def ids(self) -> dict[str, str]:
        return dict(self.query("SELECT input_path, job_id::VARCHAR FROM jobs"))

    # What always holds

    @invariant()
    def jobs_are_those_of_the_model(self) -> None:
        found = self.query(
            "SELECT input_path, input_size, status::VARCHAR, attempts, interruptions FROM jobs"
            " ORDER BY position"
        )
        assert found == [
            (name, job.size, job.status, job.attempts, job.interruptions)
            for name, job in ((name, self.jobs[name]) for name in self.order)
        ]

    @invariant()
    def nothing_runs_while_no_run_does(self) -> None:
        assert self.query("SELECT count(*) FROM jobs WHERE status = 'running'") == [(0,)]
        assert self.query("SELECT count(*) FROM runs WHERE ended_by IS NULL") == [(0,)]
        assert not self.workspace.live_runs

    @invariant()
    def attempts_are_those_of_the_model_and_never_change(self) -> None:
        found = {
            str(row[0]): row
            for row in self.query(
                "SELECT attempt_id, job_attempts.* EXCLUDE (attempt_id) FROM job_attempts"
            )
        }
        for attempt_id, row in self.attempts.items():
            assert found[attempt_id] == row, "an attempt changed, or is gone"
        self.attempts = found
        history = self.query(
            "SELECT input_path, attempt, outcome FROM job_attempts JOIN jobs USING (job_id) ORDER BY ALL"
        )
        assert history == sorted(
            (name, *one) for name, job in self.jobs.items() for one in job.history
        )

    @invariant()
    def completed_jobs_have_their_rows_once_and_no_other_job_has_any(self) -> None:
        shown = fk.results_frame("p") if self.jobs else None
        expected = {
            name: job.rows
            for name, job in self.jobs.items()
            if job.status == "completed" and job.rows
        }
        assert ({} if shown is None else shown.input_path.value_counts().to_dict()) == expected
        if shown is not None and "name" in shown:
            assert (shown["name"] == shown.input_path).all()

    @invariant()
    def errors_are_shown_of_failed_jobs_only(self) -> None:
        found = self.query("SELECT input_path FROM jobs WHERE error_message IS NOT NULL ORDER BY 1")
        failed = sorted(name for name, job in self.jobs.items() if job.status == "failed")
        assert [name for (name,) in found] == failed


@pytest.mark.timeout(400)
def test_ledger_is_true_to_the_model_after_any_order_of_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setattr(backlog, "BACK_OFF_SECONDS", 0.001)
    examples = int(os.environ.get("FOREGSYTE_EXAMPLES", "12"))
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=examples,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # A step runs real jobs, so an example takes a second, and shrinking all of its five minutes,
            # longer than this test may take; what fails has 15 steps at most, which can be read.
            phases=(Phase.generate,),
            database=None,
            print_blob=True,
        ),
    )
