"""A GPU for each worker process, without a GPU: what a process sees is in its environment."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import foregsyte_kaggle as fk
from foregsyte_kaggle import surroundings
from foregsyte_kaggle.errors import InvalidArgumentError
from foregsyte_kaggle.executors import devices as devices_module
from foregsyte_kaggle.surroundings import machine
from foregsyte_kaggle.worker import JobContext

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.usefixtures("workspace"),
]

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")


def add_jobs(count: int) -> None:
    names = [str(number) for number in range(count)]
    fk.register_jobs(pd.DataFrame({"id": names}), "p", name="ids")


def run(**options: Any) -> fk.Run:
    return fk.run_jobs("p", **{"progress": False, **options})


def query(text: str) -> list[tuple[Any, ...]]:
    return list(fk.sql(text).itertuples(index=False, name=None))


def wait_for_both(folder: Path, name: str) -> None:
    """Wait until two jobs are underway, so that each has a worker of its own."""
    (folder / name).touch()
    until = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:
        assert time.monotonic() < until, "only one job is underway"
        time.sleep(0.01)


def test_each_worker_sees_its_own_device_and_its_jobs_know_it(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()

    @fk.pipeline("p")
    def shows(name: str, job: JobContext) -> dict[str, Any]:
        wait_for_both(meeting, name)
        return {"visible": os.environ["CUDA_VISIBLE_DEVICES"], "device": job.device}

    add_jobs(6)
    assert run(devices=[3, "GPU-5c2f"]).completed == 6
    assert sorted(query("SELECT DISTINCT visible, device FROM results.p")) == [
        ("3", "3"),
        ("GPU-5c2f", "GPU-5c2f"),
    ]


def test_device_is_set_before_python_starts_in_the_worker(tmp_path: Path) -> None:
    """So that it is there before anything is imported, by sitecustomize too."""

    @fk.pipeline("p")
    def reads(name: str) -> dict[str, Any]:
        started_with = Path("/proc/self/environ").read_bytes().split(b"\0")
        return {"is_there": b"CUDA_VISIBLE_DEVICES=7" in started_with}

    if not Path("/proc/self/environ").exists():
        pytest.skip("needs /proc")
    add_jobs(1)
    run(devices=["7"])
    assert query("SELECT is_there FROM results.p") == [(True,)]


def test_more_workers_than_devices_share_them_evenly(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()

    @fk.pipeline("p")
    def shows(name: str, job: JobContext) -> dict[str, Any]:
        (meeting / name).touch()
        until = time.monotonic() + 60
        while len(list(meeting.iterdir())) < 4:
            assert time.monotonic() < until
            time.sleep(0.01)
        return {"device": job.device, "pid": os.getpid()}

    add_jobs(4)
    assert run(devices=[0, 1], workers=4).completed == 4
    assert sorted(query("SELECT device, count(DISTINCT pid) FROM results.p GROUP BY device")) == [
        ("0", 2),
        ("1", 2),
    ]


def test_device_that_is_named_twice_gets_two_workers(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()

    @fk.pipeline("p")
    def shows(name: str, job: JobContext) -> dict[str, Any]:
        wait_for_both(meeting, name)
        return {"device": job.device, "pid": os.getpid()}

    add_jobs(2)
    assert run(devices=[1, 1]).completed == 2
    assert query("SELECT device, count(DISTINCT pid) FROM results.p GROUP BY device") == [("1", 2)]


@needs_signals
@pytest.mark.parametrize("victim", ["0", "1"])
def test_device_of_a_worker_that_was_killed_is_used_again(victim: str, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    meeting = tmp_path / "meeting"
    meeting.mkdir()

    @fk.pipeline("p")
    def shows(name: str, job: JobContext) -> dict[str, Any]:
        wait_for_both(meeting, name)
        if job.device == victim and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        until = time.monotonic() + 60
        # The other worker waits for the new one, so that there are two to the end.
        while job.device != victim and not (tmp_path / "again").exists():
            assert time.monotonic() < until, "the device is not used again"
            time.sleep(0.01)
        if job.device == victim:
            (tmp_path / "again").touch()
        return {"device": job.device, "visible": os.environ["CUDA_VISIBLE_DEVICES"]}

    add_jobs(12)
    made = run(devices=[0, 1])
    assert (made.completed, made.failed) == (11, 1)
    assert sorted(query("SELECT DISTINCT device, visible FROM results.p")) == [
        ("0", "0"),
        ("1", "1"),
    ]


def test_slow_job_on_one_device_does_not_keep_the_other_from_all_others(tmp_path: Path) -> None:
    """The slow one waits until all others are done."""
    done = tmp_path / "done"
    done.mkdir()

    @fk.pipeline("p")
    def uneven(name: str, job: JobContext) -> dict[str, Any]:
        until = time.monotonic() + 60
        while name == "0" and len(list(done.iterdir())) < 19:
            assert time.monotonic() < until
            time.sleep(0.01)
        (done / name).touch()
        return {"name": name, "device": job.device}

    add_jobs(20)
    assert run(devices=[0, 1]).completed == 20
    ((slow,),) = query("SELECT device FROM results.p WHERE name = '0'")
    others = query("SELECT device, count(*) FROM results.p WHERE name <> '0' GROUP BY device")
    assert dict(others).get({"0": "1", "1": "0"}[slow]) == 19


def test_device_is_none_where_none_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")

    @fk.pipeline("p")
    def shows(name: str, job: JobContext) -> dict[str, Any]:
        return {"has_device": job.device is not None, "seen": os.environ["CUDA_VISIBLE_DEVICES"]}

    add_jobs(1)
    run()
    assert query("SELECT has_device, seen FROM results.p") == [(False, "5")]
    fk.retry_jobs(status="completed")
    run(executor="threads")
    assert query("SELECT has_device FROM results.p") == [(False,)]


def test_auto_takes_the_devices_that_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    meeting = tmp_path / "meeting"
    meeting.mkdir()

    @fk.pipeline("p")
    def shows(name: str, job: JobContext) -> dict[str, Any]:
        wait_for_both(meeting, name)
        return {"device": job.device}

    add_jobs(2)
    run(devices="auto")
    assert sorted(query("SELECT device FROM results.p")) == [("2",), ("3",)]


def test_auto_without_a_gpu_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    @fk.pipeline("p")
    def shows(name: str, job: JobContext) -> dict[str, Any]:
        return {"has_device": job.device is not None}

    add_jobs(1)
    assert run(devices="auto").completed == 1
    assert query("SELECT has_device FROM results.p") == [(False,)]


@pytest.mark.parametrize("executor", ["threads", "inline", "ThreadPoolExecutor"])
@pytest.mark.parametrize("devices", [[0], "auto"], ids=str)
def test_only_processes_can_be_given_devices(executor: str, devices: Any) -> None:
    fk.pipeline("p")(lambda name: None)
    add_jobs(1)
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(
            InvalidArgumentError,
            match="a thread cannot be given its own GPU; use executor='processes'",
        ),
    ):
        run(executor=pool if executor == "ThreadPoolExecutor" else executor, devices=devices)


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ([], "devices is empty; expected at least one GPU"),
        ("0", "devices='0'; expected a list of GPUs, such as [0, 1], or 'auto'"),
        (0, "devices=0; expected a list"),
        ([True], "devices holds True; expected numbers from 0, or ids"),
        ([0.0], "devices holds 0.0; expected"),
        ([0, -1], "devices holds -1; expected"),
        (["-1"], "devices holds '-1'; expected"),
        ([" "], "devices holds ' '; expected"),
        (["a\0b"], "devices holds 'a\\x00b'; expected"),
        ([None], "devices holds None; expected"),
    ],
    ids=str,
)
def test_devices_that_are_none_are_refused_at_the_call(devices: Any, said: str) -> None:
    fk.pipeline("p")(lambda name: None)
    add_jobs(1)
    with pytest.raises(InvalidArgumentError) as caught:
        run(devices=devices)
    assert str(caught.value).startswith(said)


# Counting them


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", ["0"]),
        ("1, 0", ["1", "0"]),
        ("0,-1,1", ["0"]),
        ("GPU-1a,MIG-2b", ["GPU-1a", "MIG-2b"]),
    ],
)
def test_devices_are_those_of_the_variable_as_cuda_reads_it(
    monkeypatch: pytest.MonkeyPatch, visible: str, ids: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert surroundings.gpu_ids() == ids


def test_devices_are_counted_by_the_driver_s_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "GPU_FOLDER", str(tmp_path / "gpus"))
    monkeypatch.setattr(machine, "DEVICE_FOLDER", str(tmp_path / "dev"))
    assert surroundings.gpu_ids() is None
    for name in ("0000:00:04.0", "0000:00:05.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    assert surroundings.gpu_ids() == ["0", "1"]


@needs_signals
@pytest.mark.parametrize(
    ("script", "ids"),
    [
        ("echo 'GPU 0: Tesla T4 (UUID: GPU-1)'; echo 'GPU 1: Tesla T4 (UUID: GPU-2)'", ["0", "1"]),
        ("echo 'GPU 0: A100 (UUID: GPU-1)'; echo '  MIG 1g.5gb Device 0: (UUID: MIG-1)'", ["0"]),
        ("echo 'No devices were found'", []),
        ("exit 9", []),
        (None, []),
    ],
    ids=["two", "with parts", "none", "no driver", "no command"],
)
def test_driver_is_asked_where_it_has_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, ids: list[str]
) -> None:
    monkeypatch.setattr(devices_module, "gpu_ids", lambda: None)
    if script is not None:
        command = tmp_path / "nvidia-smi"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices_module.as_devices("auto") == ids
