"""What is Dask's own: clients that are refused, clusters that grow or have no worker, and what its scheduler holds.

Most clusters are in this process, which costs little; ``test_engine_contract`` has one of worker processes.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle.errors import InvalidArgumentError, RunError
from foregsyte_kaggle.executors.answers import with_files
from foregsyte_kaggle.executors.dask import DaskCluster
from foregsyte_kaggle.executors.hosted import Notebook, look
from foregsyte_kaggle.worker import Outcome
from foregsyte_kaggle.workspace import Workspace

dask = pytest.importorskip("dask", reason="needs the extra dask")
distributed = pytest.importorskip("distributed", reason="needs the extra dask")

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def make_cluster(**options: Any) -> Any:
    options = {"processes": False, "threads_per_worker": 1, **options}
    return distributed.LocalCluster(dashboard_address=":0", silence_logs=50, **options)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with make_cluster(n_workers=2) as made:
        yield made


@pytest.fixture(scope="module")
def client(cluster: Any) -> Iterator[Any]:
    with distributed.Client(cluster) as made:
        yield made


def make_inputs(count: int) -> Path:
    folder = Path("inputs")
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.txt").write_text("x" * number)
    return folder


def statuses() -> dict[str, int]:
    found = fk.sql("SELECT status::VARCHAR, count(*) FROM jobs GROUP BY ALL")
    return dict(found.itertuples(index=False, name=None))


def wait_until(is_so: Any) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def test_package_and_its_engines_load_without_dask() -> None:
    code = "import sys, foregsyte_kaggle.executors, foregsyte_kaggle as fk; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"dask", "distributed", "duckdb", "pandas"} & set(loaded)


@pytest.mark.usefixtures("workspace")
def test_scheduler_holds_a_few_chunks_however_many_jobs_wait(cluster: Any, client: Any) -> None:
    constant = bytearray(1_000_000)

    @fk.pipeline("p")
    def measure(path: Path) -> dict[str, Any]:
        time.sleep(0.002)
        return {"constant": len(constant)}

    fk.register_jobs(make_inputs(300), "p")
    going = fk.run_jobs("p", executor=client, background=True, progress=False)
    most = 0
    while going.is_running:
        most = max(most, len(cluster.scheduler.tasks))
        time.sleep(0.001)
    going.wait()
    assert going.completed == 300
    assert 1 <= most <= 4  # two a thread
    assert set(fk.results_frame("p").constant) == {1_000_000}
    # It is its owner's, who finds it as it was.
    wait_until(lambda: not cluster.scheduler.tasks)
    assert client.submit(sum, [1, 2]).result() == 3


@pytest.mark.usefixtures("workspace")
def test_workers_let_go_of_the_objects_of_a_run_that_is_over(client: Any) -> None:
    from foregsyte_kaggle.executors import hosted

    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(3), "p")
    fk.run_jobs("p", executor=client, progress=False)
    assert not hosted._stays


@pytest.mark.usefixtures("workspace")
def test_worker_that_is_paused_gets_no_jobs() -> None:
    from distributed.core import Status

    def set_status(status: str, dask_worker: Any) -> None:
        dask_worker.status = Status[status]

    @fk.pipeline("p")
    def slow(path: Path) -> dict[str, Any]:
        time.sleep(0.02)
        return {"name": path.name}

    fk.register_jobs(make_inputs(20), "p")
    with make_cluster(n_workers=2, memory_limit=0) as mine, distributed.Client(mine) as client:
        paused, other = client.nthreads()
        client.run(set_status, "paused", workers=[paused])
        going = fk.run_jobs("p", executor=client, background=True, progress=False)
        wait_until(lambda: going.completed == 20)
        going.wait()
    assert set(fk.attempts_frame().worker) == {other}


def test_client_keeps_nothing_of_a_run_that_is_over(client: Any) -> None:
    class Listener:
        def __call__(self, message: tuple[Any, ...]) -> None:
            pass

    listener = Listener()
    left = weakref.ref(listener)
    joined = DaskCluster(client)
    client.sync(joined.begin, listener)
    client.sync(joined.end)
    del listener
    gc.collect()
    assert left() is None


@pytest.mark.usefixtures("workspace")
def test_inputs_that_only_workers_see_are_passed_as_they_are(client: Any) -> None:
    urls = ["s3://bucket/a b.mp4", "gs://b/100%25/é.mp4?x=1#f", "https://example.org//a/../b"]
    ids = ["/mnt/only there/a.tif", "rel/x", "%41"]
    fk.pipeline("p")(lambda path: {"kind": type(path).__name__, "text": str(path)})
    fk.register_jobs(urls[:2], "p", name="urls")
    fk.register_jobs(pd.DataFrame({"path": urls[2:]}), "p", name="table")
    with pytest.raises(
        fk.SourceError, match=r"register the paths as ids.*DataFrame\(\{'id': paths\}"
    ):
        fk.register_jobs(ids[:1], "p", name="mount")
    fk.register_jobs(pd.DataFrame({"id": ids}), "p", name="mount")
    assert fk.run_jobs("p", executor=client, progress=False).completed == 6
    found = fk.results_frame("p")
    assert set(found.kind) == {"str"}
    assert sorted(found.text) == sorted(urls + ids)


def test_files_that_the_notebook_does_not_see_fail_their_job(tmp_path: Path) -> None:
    outcome = Outcome(1, "completed", 0.0, 1.0, [{}], output_paths=["p/a.jpg"], worker="w")
    failed = with_files(outcome, str(tmp_path / "p"))
    assert (failed.outcome, failed.result, failed.output_paths) == ("failed", None, None)
    assert "needs a folder that both share" in str(failed.error_message)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.jpg").touch()
    assert with_files(outcome, str(tmp_path / "p")) == outcome


@pytest.mark.usefixtures("workspace")
def test_asynchronous_and_closed_clients_are_refused(cluster: Any) -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(1), "p")
    with distributed.Client(cluster) as closed:
        pass
    with pytest.raises(RunError, match="this Dask client is closed; make a new one"):
        fk.run_jobs("p", executor=closed)

    async def run_inside() -> None:
        async with distributed.Client(cluster.scheduler_address, asynchronous=True) as client:
            with pytest.raises(InvalidArgumentError, match=r"Client\(..., asynchronous=False\)"):
                fk.run_jobs("p", executor=client)

    import asyncio

    asyncio.run(run_inside())
    with pytest.raises(InvalidArgumentError, match=r"LocalCluster.*expected .* or a Dask client"):
        fk.run_jobs("p", executor=cluster)
    assert statuses() == {"pending": 1}


@pytest.mark.usefixtures("workspace")
def test_client_that_is_closed_during_a_run_ends_it_with_nothing_lost(cluster: Any) -> None:
    @fk.pipeline("p")
    def slow(path: Path) -> dict[str, Any]:
        time.sleep(0.05)
        return {"name": path.name}

    fk.register_jobs(make_inputs(100), "p")
    with distributed.Client(cluster) as mine:
        going = fk.run_jobs("p", executor=mine, background=True, progress=False)
        wait_until(lambda: going.completed >= 4)
    with pytest.raises(RunError, match="Dask client is closed"):
        going.wait()
    found = statuses()
    assert found.keys() == {"completed", "pending"}
    assert fk.results_frame("p").name.nunique() == found["completed"]


@pytest.mark.usefixtures("workspace")
def test_run_waits_for_the_first_worker_and_uses_those_that_come(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @fk.pipeline("p")
    def waits(path: Path) -> dict[str, Any]:
        (path.parent.parent / "begun" / path.name).touch()
        while not (path.parent.parent / "go on").exists():
            time.sleep(0.01)
        return {"name": path.name}

    Path("begun").mkdir()
    fk.register_jobs(make_inputs(6), "p")
    with make_cluster(n_workers=0) as growing, distributed.Client(growing) as client:
        going = fk.run_jobs("p", executor=client, background=True, progress=False)
        wait_until(lambda: "the Dask cluster has no worker now" in capsys.readouterr().out)
        assert not list(Path("begun").iterdir())
        growing.scale(1)
        wait_until(lambda: len(list(Path("begun").iterdir())) == 1)
        growing.scale(3)
        wait_until(lambda: len(list(Path("begun").iterdir())) == 3)
        Path("go on").touch()
        going.wait()
    assert statuses() == {"completed": 6}


@pytest.mark.usefixtures("workspace")
def test_adaptive_cluster_without_workers_gets_one(capsys: pytest.CaptureFixture[str]) -> None:
    fk.pipeline("p")(lambda path: {"name": path.name})
    fk.register_jobs(make_inputs(3), "p")
    with make_cluster(n_workers=0) as adaptive, distributed.Client(adaptive) as client:
        adaptive.adapt(minimum=0, maximum=1, interval="100ms")
        assert fk.run_jobs("p", executor=client, progress=False).completed == 3
    assert "the Dask cluster has no worker now" in capsys.readouterr().out


def test_stop_while_no_worker_is_there_puts_all_back(workspace: Workspace) -> None:
    fk.pipeline("p")(lambda path: None)
    fk.register_jobs(make_inputs(3), "p")
    with make_cluster(n_workers=0) as empty, distributed.Client(empty) as client:
        going = fk.run_jobs("p", executor=client, background=True, progress=False)
        going.stop()
    assert going.ended_by == "stopped"
    assert statuses() == {"pending": 3}
    assert not workspace.live_runs


@pytest.mark.usefixtures("workspace")
def test_jobs_beside_one_that_kills_their_worker_are_not_blamed_for_it() -> None:
    @fk.pipeline("p")
    def kills(path: Path) -> dict[str, Any]:
        time.sleep(0.05)
        if path.stem == "009":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"name": path.name}

    fk.register_jobs(make_inputs(20), "p")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        make_cluster(processes=True, n_workers=1, threads_per_worker=4) as threaded,
        distributed.Client(threaded) as client,
    ):
        made = fk.run_jobs("p", executor=client, progress=False)
    assert (made.completed, made.failed) == (19, 1)
    failed = fk.sql("SELECT input_path FROM jobs WHERE status = 'failed'")
    assert failed.input_path.to_list() == ["009.txt"]


@pytest.mark.parametrize(("method", "is_forked"), [("fork", True), ("spawn", False)])
def test_worker_that_is_forked_from_the_notebook_s_process_is_known(
    method: str, is_forked: bool
) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(look, Notebook.here()).result().is_forked == is_forked
    assert not look(Notebook.here()).is_forked
    assert threading.main_thread() is threading.current_thread()
