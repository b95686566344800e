"""Dask workers on two "hosts" and the notebook's process on a third: network namespaces of this machine.

``python tests/two_hosts.py`` needs Linux, root and the command ``ip``; it says so and ends with 2 where these are
missing, with 1 where something is wrong. It leaves nothing behind.

Each host has an address, processes and a folder of its own; they share the disk else. Three runs are compared: in
one thread of the notebook's process, on both hosts, and on both while one of them is lost.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NOTEBOOK = "10.77.0.1"
HOSTS = {"a": "10.77.0.2", "b": "10.77.0.3"}
SCHEDULER = f"tcp://{NOTEBOOK}:8786"
JOBS = 60
#: A folder that each host has for itself.
OWN_FOLDER = "own"


def main() -> int:
    if sys.argv[1:2] == ["notebook"]:
        be_the_notebook(Path(sys.argv[2]))
        return 0
    reason = cannot_run()
    if reason is not None:
        print(f"SKIPPED: two hosts WERE NOT PLAYED: {reason}")
        return 2
    with tempfile.TemporaryDirectory() as scratch, hosts() as inside:
        folder = Path(scratch)
        (folder / OWN_FOLDER).mkdir()
        with contextlib.ExitStack() as running:
            python = [sys.executable, "-m", "dask"]
            scheduler = ["scheduler", "--host", NOTEBOOK, "--port", "8786", "--no-dashboard"]
            running.enter_context(process(folder, [*inside("notebook"), *python, *scheduler]))
            for name, address in HOSTS.items():
                worker = (
                    f"{sys.executable} -m dask worker {SCHEDULER} --host {address} --nthreads 1"
                )
                # `ip netns exec` gives it mounts of its own.
                own = (
                    f"mount -t tmpfs tmpfs {OWN_FOLDER} && echo only here > {OWN_FOLDER}/input.txt"
                )
                command = [*inside(name), "sh", "-c", f"{own} && exec {worker} --no-dashboard"]
                made = running.enter_context(process(folder, command))
                (folder / f"{name}.pid").write_text(str(made.pid))
            notebook = [sys.executable, str(Path(__file__).resolve()), "notebook", str(folder)]
            done = subprocess.run(
                [*inside("notebook"), *notebook], env=environment(), check=False, timeout=300
            )
            if done.returncode:
                for log in sorted(folder.glob("*.log")):
                    print(log.read_text()[-3000:])
            return 1 if done.returncode else 0


def cannot_run() -> str | None:
    """Say what is missing here."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "this user is not root"
    if shutil.which("ip") is None:
        return "there is no command ip"
    done = subprocess.run(
        ["ip", "netns", "add", named("try")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"no network namespace can be made: {done.stderr.strip()}"
    ip("netns", "delete", named("try"))
    return None


def named(name: str) -> str:
    return f"fk{os.getpid()}-{name}"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextlib.contextmanager
def hosts() -> Iterator[Any]:
    """Make three hosts on one bridge; give what a command on one of them begins with."""
    names = ["notebook", *HOSTS]
    try:
        for name in names:
            ip("netns", "add", named(name))
            ip("-n", named(name), "link", "set", "lo", "up")
        at_notebook = ("-n", named("notebook"))
        ip(*at_notebook, "link", "add", "bridge", "type", "bridge")
        ip(*at_notebook, "addr", "add", f"{NOTEBOOK}/24", "dev", "bridge")
        ip(*at_notebook, "link", "set", "bridge", "up")
        for name, address in HOSTS.items():
            there = ("-n", named(name))
            ip(
                *at_notebook,
                "link",
                "add",
                f"to-{name}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                named(name),
            )
            ip(*at_notebook, "link", "set", f"to-{name}", "master", "bridge", "up")
            ip(*there, "addr", "add", f"{address}/24", "dev", "eth0")
            ip(*there, "link", "set", "eth0", "up")
        yield lambda name: ["ip", "netns", "exec", named(name)]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", named(name)], capture_output=True, check=False)


@contextlib.contextmanager
def process(folder: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a process group of its own until the block ends."""
    number = len(list(folder.glob("*.log")))
    with (folder / f"{number}.log").open("wb") as log:
        made = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(made.pid, signal.SIGKILL)
            made.wait()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s"}


def be_the_notebook(folder: Path) -> None:
    """Compare the runs; raises where they differ."""
    import pandas as pd
    from distributed import Client

    import foregsyte_kaggle as fk

    os.chdir(folder)
    inputs = folder / "inputs"
    inputs.mkdir()
    for number in range(JOBS):
        (inputs / f"{number:02}.txt").write_text("word " * number)

    @fk.pipeline("words")
    def words(path: Path, job: Any) -> dict[str, Any]:
        time.sleep(0.1)
        job.output_path("copy.txt").write_text(path.read_text())
        return {"name": path.name, "words": len(path.read_text().split())}

    def results() -> pd.DataFrame:
        found = fk.results_frame("words").sort_values("name").reset_index(drop=True)
        files = sorted(path.read_text() for path in Path("data/outputs/words").glob("*.txt"))
        check(len(files) == JOBS, f"{len(files)} files are there")
        return found.drop(columns=["job_id"])

    fk.bootstrap()
    fk.register_jobs(inputs, "words")
    fk.run_jobs("words", executor="threads", workers=8, progress=False)
    local = results()

    with Client(SCHEDULER, timeout=60) as client:
        client.wait_for_workers(len(HOSTS), timeout=60)
        fk.retry_jobs(status="completed")
        run = fk.run_jobs("words", executor=client, progress=False)
        check(run.completed == JOBS, f"{run}")
        pd.testing.assert_frame_equal(results(), local, check_categorical=False)
        used = set(fk.attempts_frame().query("attempt == 2").worker.str.split(":").str[1])
        check(used == {f"//{address}" for address in HOSTS.values()}, f"{used} worked")

        @fk.pipeline("own")
        def own(path: str) -> dict[str, Any]:
            return {"text": Path(path).read_text()}

        theirs = str(folder / OWN_FOLDER / "input.txt")
        check(not Path(theirs).exists(), "the notebook sees what is theirs")
        fk.register_jobs(pd.DataFrame({"id": [theirs]}), "own", name="theirs")
        fk.run_jobs("own", executor=client, progress=False)
        check(fk.results_frame("own").text.to_list() == ["only here\n"], "an input was not seen")

        fk.retry_jobs("words", status="completed")
        run = fk.run_jobs("words", executor=client, progress=False, background=True)
        while run.completed < JOBS // 4:
            time.sleep(0.05)
        os.killpg(int(Path("b.pid").read_text()), signal.SIGKILL)
        run.wait()
        check((run.completed, run.failed) == (JOBS, 0), f"with a host lost: {run}")
        pd.testing.assert_frame_equal(results(), local, check_categorical=False)
    print(f"{JOBS} results are the same on one host, on two, and with one of two lost")


def check(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise SystemExit(f"WRONG: {otherwise}")


if __name__ == "__main__":
    sys.exit(main())
