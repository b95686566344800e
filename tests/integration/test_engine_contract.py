"""One contract over all engines that run jobs in parallel: what a run promises holds on each, or is refused.

Dask runs on a LocalCluster of two worker processes. Ray has an environment of its own, the lane ``ray``; elsewhere its
tests are skipped, by name; with ``FOREGSYTE_REQUIRE_RAY=1``, as in the lane, to be without it is a failure.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import InvalidArgumentError, RunError
from foregsyte_kaggle.worker import JobContext
from foregsyte_kaggle.workspace import Workspace

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ENGINES = (
    "threads",
    "processes",
    pytest.param("ProcessPoolExecutor", marks=pytest.mark.slow),  # differs by its Python only
    "dask",
    "ray",
)
#: Whose workers are processes, and are replaced when they die.
SURVIVORS = ("processes", "dask", "ray")
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as made:
        yield made


@pytest.fixture(scope="module")
def dask_client() -> Iterator[Any]:
    dask = pytest.importorskip("dask", reason="needs the extra dask")
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.admin.tick.interval": "1s",
    }
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    if os.environ.get("FOREGSYTE_REQUIRE_RAY") == "1":
        import ray
    else:
        ray = pytest.importorskip(
            "ray", reason="needs Ray: .venv/bin/nox -f tests/noxfile.py -s ray"
        )
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=2**27)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("foregsyte_kaggle.executors.ray.ALLOWED_DEATHS", 1)
        yield "ray"
    ray.shutdown()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def executor(engine: str, request: pytest.FixtureRequest) -> Any:
    own = {"ProcessPoolExecutor": "pool", "dask": "dask_client", "ray": "ray_cluster"}
    return request.getfixturevalue(own[engine]) if engine in own else engine


@pytest.fixture
def run(workspace: Workspace, executor: Any) -> Callable[..., fk.Run]:
    def run_quietly(**options: Any) -> fk.Run:
        options = {"executor": executor, "workers": 2, "progress": False, **options}
        return fk.run_jobs("p", **options)

    return run_quietly


def make_inputs(count: int) -> Path:
    folder = Path("inputs")
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.txt").write_text("x" * number)
    return folder


def query(text: str) -> list[tuple[Any, ...]]:
    return list(fk.sql(text).itertuples(index=False, name=None))


def statuses() -> dict[str, int]:
    return dict(query("SELECT status::VARCHAR, count(*) FROM jobs GROUP BY ALL"))


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def each_result_is_there_once(jobs: int) -> bool:
    return query("SELECT count(*), count(DISTINCT name) FROM results.p") == [(jobs, jobs)]


def test_results_files_and_output_equal_those_of_this_thread(
    run: Callable[..., fk.Run], workspace: Workspace
) -> None:
    @fk.pipeline("p")
    def measure(path: Path, job: JobContext, factor: int) -> list[dict[str, Any]]:
        print("measured", path.name)
        job.output_path("copy.txt").write_text(path.read_text())
        size = path.stat().st_size
        return [{"name": path.name, "size": size * factor, "tags": ["a", None]}] * (size % 3)

    def recorded() -> tuple[pd.DataFrame, list[tuple[Any, ...]], list[str]]:
        rows = fk.results_frame("p").drop(columns=["job_id"]).sort_values(["name", "size"])
        attempts = query(
            "SELECT output, a.outcome, output_path, a.result_rows FROM job_attempts AS a JOIN jobs"
            " USING (job_id) WHERE attempt = jobs.attempts ORDER BY ALL"
        )
        files = [path.read_text() for path in sorted(workspace.outputs.glob("p/*.txt"))]
        return rows.reset_index(drop=True), attempts, files

    fk.register_jobs(make_inputs(40), "p", params={"factor": 10})
    assert fk.run_jobs("p", executor="inline", progress=False).completed == 40
    rows, attempts, files = recorded()
    fk.retry_jobs(status="completed")
    assert run().completed == 40
    again, attempts_again, files_again = recorded()
    pd.testing.assert_frame_equal(again, rows, check_categorical=False)
    assert attempts_again == attempts
    assert files_again == files
    assert len(files) == 40


def test_failures_are_their_job_s_alone_with_traceback_and_output(
    run: Callable[..., fk.Run],
) -> None:
    @fk.pipeline("p")
    def fails(path: Path) -> dict[str, Any] | list[int]:
        number = int(path.stem)
        print("before", number)
        if number == 1:
            raise ValueError("bad one")  # this line
        if number == 2:
            return [1]
        if number == 3:
            return {"name": lambda: None}
        return {"name": path.name}

    fk.register_jobs(make_inputs(30), "p")
    made = run()
    assert (made.completed, made.failed) == (27, 3)
    assert {kind: count for kind, (count, _) in made.failures.items()} == {
        "ValueError": 1,
        "ResultError": 2,
    }
    ((output, text),) = query(
        "SELECT output, traceback FROM job_attempts WHERE error_message = 'bad one'"
    )
    assert output == "before 1\n"
    assert 'raise ValueError("bad one")  # this line' in text
    assert "foregsyte_kaggle" not in text
    assert each_result_is_there_once(27)


def test_batches_come_whole_and_a_failing_one_is_tried_job_by_job(
    run: Callable[..., fk.Run],
) -> None:
    @fk.pipeline("p", batch_size=4)
    def sizes(paths: list[Path]) -> list[dict[str, Any]]:
        if any(path.stem == "005" for path in paths):
            raise ValueError("bad one")
        return [{"name": path.name, "together": len(paths)} for path in paths]

    fk.register_jobs(make_inputs(10), "p")
    made = run()
    assert (made.completed, made.failed) == (9, 1)
    together = fk.results_frame("p").set_index("name").together
    assert together.sort_index().to_list() == [4, 4, 4, 4, 1, 1, 1, 2, 2]


def test_class_is_built_once_for_each_worker(run: Callable[..., fk.Run]) -> None:
    @fk.pipeline("p")
    class Model:
        def __init__(self, weights: str) -> None:
            self.built = f"{weights}-{id(self)}-{os.getpid()}"

        def __call__(self, path: Path) -> dict[str, Any]:
            time.sleep(0.02)
            return {"name": path.name, "built": self.built}

    fk.register_jobs(make_inputs(20), "p", params={"weights": "small"})
    assert run().completed == 20
    assert fk.results_frame("p").built.nunique() <= 2
    assert fk.attempts_frame().worker.nunique() <= 2


def test_stop_keeps_what_ended_and_puts_the_rest_back(run: Callable[..., fk.Run]) -> None:
    @fk.pipeline("p")
    def slow(path: Path) -> dict[str, Any]:
        (path.parent.parent / "begun" / path.name).touch()
        time.sleep(0.1)
        return {"name": path.name}

    Path("begun").mkdir()
    fk.register_jobs(make_inputs(100), "p")
    going = run(background=True)
    wait_until(lambda: going.completed >= 4)
    going.stop()
    going.wait()
    assert going.ended_by == "stopped"
    found = statuses()
    assert found.keys() == {"completed", "pending"}
    assert each_result_is_there_once(found["completed"])
    # A worker ends what it has begun, in the moment that it is given.
    assert len(list(Path("begun").iterdir())) == found["completed"]


def test_time_limit_leaves_what_would_not_end_in_time(
    run: Callable[..., fk.Run], engine: str
) -> None:
    @fk.pipeline("p")
    def slow(path: Path) -> dict[str, Any]:
        time.sleep(0.2)
        return {"name": path.name}

    fk.register_jobs(make_inputs(300), "p")
    made = run(time_limit=2 if engine != "ray" else 10)  # whose workers take seconds to start
    assert made.ended_by == "time_limit"
    found = statuses()
    assert found.keys() == {"completed", "pending"}
    assert each_result_is_there_once(found["completed"])


def test_progress_of_jobs_is_seen_while_they_work(engine: str, run: Callable[..., fk.Run]) -> None:
    if engine == "ProcessPoolExecutor":
        pytest.skip("jobs in other processes of a plain Executor show none, as run_jobs says")

    @fk.pipeline("p")
    def says(path: Path, job: JobContext) -> dict[str, Any]:
        for step in range(3):
            job.progress(step / 4)
        while not (path.parent.parent / "seen").exists():
            time.sleep(0.02)
        return {"name": path.name}

    fk.register_jobs(make_inputs(2), "p")
    going = run(background=True)
    wait_until(lambda: sorted(going._fractions.values()) == [0.5, 0.5])
    Path("seen").touch()
    going.wait()
    assert statuses() == {"completed": 2}


def test_jobs_behind_a_long_one_do_not_wait_for_it(engine: str, run: Callable[..., fk.Run]) -> None:
    """It waits until all others are done, those that were in its chunk too."""
    if engine == "ProcessPoolExecutor":
        pytest.skip("what a plain Executor has taken cannot be taken back")

    @fk.pipeline("p")
    def uneven(path: Path) -> dict[str, Any]:
        folder = path.parent.parent / "done"
        (folder / path.name).touch()
        until = time.monotonic() + 60
        while path.stem == "030" and len(list(folder.iterdir())) < 100:
            assert time.monotonic() < until, "they waited for it"
            time.sleep(0.02)
        return {"name": path.name}

    Path("done").mkdir()
    fk.register_jobs(make_inputs(100), "p")
    assert run().completed == 100
    assert each_result_is_there_once(100)
    assert query("SELECT count(*), count(DISTINCT job_id) FROM job_attempts") == [(100, 100)]


@pytest.mark.parametrize("engine", SURVIVORS, indirect=True)
def test_worker_that_is_killed_costs_no_other_job_and_no_result_comes_twice(
    engine: str, run: Callable[..., fk.Run]
) -> None:
    @fk.pipeline("p")
    def slow(path: Path) -> dict[str, Any]:
        (path.parent.parent / "workers" / str(os.getpid())).touch()
        time.sleep(0.05)
        return {"name": path.name}

    Path("workers").mkdir()
    fk.register_jobs(make_inputs(40), "p")
    going = run(background=True)
    wait_until(lambda: going.completed >= 4)
    os.kill(int(next(Path("workers").iterdir()).name), signal.SIGKILL)
    going.wait()
    # Our own process is known to have died at the job; a cluster may have lost its machine.
    allowed = 1 if engine == "processes" else 0
    assert going.failed <= allowed
    assert going.completed + going.failed == 40
    assert each_result_is_there_once(going.completed)
    assert len(list(Path("workers").iterdir())) >= 2


@pytest.mark.parametrize("engine", SURVIVORS, indirect=True)
def test_job_that_kills_its_worker_each_time_fails_alone(
    engine: str, run: Callable[..., fk.Run]
) -> None:
    @fk.pipeline("p")
    def kills(path: Path) -> dict[str, Any]:
        with (path.parent.parent / "tries" / path.name).open("a") as tries:
            tries.write("x")
        if path.stem == "030":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"name": path.name}

    Path("tries").mkdir()
    fk.register_jobs(make_inputs(60), "p")
    made = run()
    assert (made.completed, made.failed) == (59, 1)
    assert list(made.failures) == ["WorkerDied"]
    ((path, message),) = query("SELECT input_path, error_message FROM jobs WHERE status = 'failed'")
    assert path == "030.txt"
    assert "its worker" in message
    assert each_result_is_there_once(59)
    assert len(Path("tries/030.txt").read_text()) <= 3


@pytest.mark.parametrize("engine", SURVIVORS, indirect=True)
def test_job_whose_worker_dies_beside_an_idle_one_is_begun_just_once_more(
    engine: str, run: Callable[..., fk.Run]
) -> None:
    @fk.pipeline("p")
    def kills_once(path: Path) -> dict[str, Any]:
        with (path.parent.parent / "tries").open("a") as tries:
            tries.write("x")
        time.sleep(0.2)
        if (path.parent.parent / "tries").read_text() == "x":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"name": path.name}

    fk.register_jobs(make_inputs(1), "p")
    # Our own process is known to have died at the job, which the run then has to try again.
    assert run(max_attempts=2).completed == 1
    assert Path("tries").read_text() == "xx"
    assert len(fk.attempts_frame()) == (2 if engine == "processes" else 1)


@pytest.mark.usefixtures("workspace")
def test_large_constants_go_once_to_each_thread_of_a_plain_executor() -> None:
    constant = os.urandom(200_000)
    sent: list[int] = []

    class Plain(Executor):
        def __init__(self) -> None:
            self._threads = ThreadPoolExecutor(2)

        def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
            sent.append(len(pickle.dumps(arguments)))
            return self._threads.submit(function, *arguments, **named)

    @fk.pipeline("p")
    def measure(path: Path) -> dict[str, Any]:
        time.sleep(0.02)
        return {"name": path.name, "constant": len(constant)}

    fk.register_jobs(make_inputs(20), "p")
    assert fk.run_jobs("p", executor=Plain(), workers=2, progress=False).completed == 20
    assert set(fk.results_frame("p").constant) == {200_000}
    # Perhaps a few more, where that for one thread is taken by the other.
    assert 1 <= sum(size > 200_000 for size in sent) < len(sent) / 2


def test_dead_worker_of_a_plain_executor_ends_the_run_and_no_job_is_lost(
    workspace: Workspace,
) -> None:
    @fk.pipeline("p")
    def kills(path: Path) -> dict[str, Any]:
        if path.stem == "003":
            os._exit(1)
        return {"name": path.name}

    fk.register_jobs(make_inputs(6), "p")
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as broken,
        pytest.raises(RunError, match="executor='processes', which goes on when a worker dies"),
    ):
        fk.run_jobs("p", executor=broken, progress=False)
    left = statuses()
    assert left.keys() <= {"pending", "completed"}
    assert each_result_is_there_once(left["completed"])


@pytest.mark.parametrize(
    "asked", [{"job_timeout": 5}, {"devices": [0]}, {"recycle_after": 3}], ids=str
)
def test_what_an_engine_cannot_do_is_refused_at_the_call(
    engine: str, run: Callable[..., fk.Run], asked: dict[str, Any]
) -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(1), "p")
    if engine == "processes":
        assert run(**asked).completed == 1
        return
    with pytest.raises(InvalidArgumentError, match="executor='processes'"):
        run(**asked)
    assert statuses() == {"pending": 1}


@pytest.mark.usefixtures("workspace")
def test_ray_is_refused_where_it_is_not_installed_or_connected_to_no_cluster() -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(1), "p")
    if importlib.util.find_spec("ray") is None:
        with pytest.raises(fk.MissingExtraError, match=r"pip install 'foregsyte-kaggle\[ray\]'"):
            fk.run_jobs("p", executor="ray")
        return
    import ray

    if not ray.is_initialized():
        with pytest.raises(RunError, match=r"call ray.init\(\) first"):
            fk.run_jobs("p", executor=ray)


def test_pipeline_that_cannot_be_loaded_where_it_would_run_ends_the_run_with_everything_pending(
    engine: str, run: Callable[..., fk.Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if engine == "threads":
        pytest.skip("it is loaded already")
    (tmp_path / "only_here.py").write_text("def pipeline(path):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here  # type: ignore[import-not-found]

    fk.pipeline("p")(only_here.pipeline)
    (tmp_path / "only_here.py").unlink()
    fk.register_jobs(make_inputs(4), "p")
    with pytest.raises(fk.PipelineError, match="'p' cannot be loaded in a worker: ModuleNotFound"):
        run()
    assert statuses() == {"pending": 4}
    del sys.modules["only_here"]
