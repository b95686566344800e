"""The same jobs with what people use instead: what an item costs, what a crash and an exception cost.

``make bench-peers`` installs them in an environment of its own. Each peer does the items three times, each
time in a new folder and process: at full speed; with items of 10 ms, killed by ``kill -9`` half way and then
begun again; and with one item in 100 that raises.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import describe_machine, in_words, package_version
from tests.benchmarks.measuring import ROOT
from tests.benchmarks.peers.every import PEERS
from tests.benchmarks.peers.work import CALLS, RAISES, TAKES

#: Longer than this and a peer is given up.
MOST_SECONDS = 300


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000, help="1,000; the slowest get fewer")
    parser.add_argument("--only", nargs="+", choices=PEERS, metavar="NAME", help=", ".join(PEERS))
    parser.add_argument("--repeat", type=int, default=3, help="how often speed is measured; 3")
    parser.add_argument("--json", type=Path, help="where to write the rows; a temporary file")
    arguments = parser.parse_args()
    machine = describe_machine()
    print(in_words(machine), flush=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="foregsyte-peers-") as folder:
        for name in arguments.only or PEERS:
            rows.append(measured(name, arguments.items, arguments.repeat, Path(folder)))
            print(line(rows[-1]), flush=True)
    path = arguments.json or Path(tempfile.mkstemp(prefix="foregsyte-peers-", suffix=".json")[1])
    report = {"machine": machine, "rows": rows}
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    print(path)


def measured(name: str, items: int, repeat: int, folder: Path) -> dict[str, Any]:
    peer = PEERS[name]
    items = max(100, int(items * peer.share))
    row: dict[str, Any] = {"name": name, "how": peer.how, "items": items}
    row["version"] = package_version(peer.package)
    if row["version"] is None:
        return {**row, "missing": f"{peer.package} is not installed: it could not be, see above"}
    try:
        many = int(items * peer.speed_share)
        speed = [run(name, many, folder / f"{name}-speed-{turn}") for turn in range(repeat)]
        row["microseconds"] = statistics.median(one["seconds"] for one in speed) / many * 1e6
        row["items_for_speed"] = many
        row["crash"] = crash(name, items, folder / f"{name}-crash")
        row["raising"] = raising(name, items, folder / f"{name}-raising")
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        row["missing"] = f"{type(error).__name__}: {error}"
    return row


def crash(name: str, items: int, folder: Path) -> dict[str, int]:
    """Kill a peer half way and let it go on; say what it lost for good and what it did again."""
    folder.mkdir()
    calls = folder / "calls"
    asked = {CALLS: str(calls), TAKES: "0.01"}
    process = start(name, items, folder, asked)
    deadline = time.monotonic() + MOST_SECONDS
    while process.poll() is None and begun(calls) < items // 2:
        if time.monotonic() > deadline:
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.5)  # workers of a process that died end by themselves
    before = begun(calls)
    found = run(name, items, folder, asked)
    times = Counter(calls.read_text(encoding="ascii").split())
    return {
        "begun_before": before,
        "lost": items - found["done"],
        "again": sum(number > 1 for number in times.values()),
    }


def raising(name: str, items: int, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    calls = folder / "calls"
    found = run(name, items, folder, {CALLS: str(calls), RAISES: "1"})
    return {**found, "begun": begun(calls)}


def run(name: str, items: int, folder: Path, asked: dict[str, str] | None = None) -> dict[str, Any]:
    process = start(name, items, folder, asked or {})
    try:
        out, errors = process.communicate(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        last = (errors.strip().splitlines() or ["without a word"])[-1]
        raise RuntimeError(f"ended with {process.returncode}: {last}")
    return json.loads(out.splitlines()[-1])


def start(name: str, items: int, folder: Path, asked: dict[str, str]) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    kept_here = {"HOME": str(folder), "DATACHAIN_ROOT_DIR": str(folder / ".datachain")}
    quiet = {"DATACHAIN_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.peers.one", name, str(items)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **kept_here, **quiet, **asked},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begun(calls: Path) -> int:
    """Return how many calls were noted."""
    return calls.read_bytes().count(b"\n") if calls.exists() else 0


def line(row: dict[str, Any]) -> str:
    """Return a row as text."""
    head = f"{row['name']} {row['version'] or ''} ({row['how']}), {row['items']:,} items: "
    if "missing" in row:
        return head + row["missing"]
    crashed, raised = row["crash"], row["raising"]
    ends = f"ends with {raised['error']}" if raised["error"] else "goes on"
    speed = f"{row['microseconds']:,.0f} µs an item of {row['items_for_speed']:,}"
    killed = f"{crashed['lost']} lost for good, {crashed['again']} of {crashed['begun_before']} done again"
    left = f"{raised['done']:,} results, {raised['failed']} marked as failed, {raised['begun']:,} calls"
    return f"{head}{speed}; killed half way: {killed}; one in 100 raises: it {ends}, {left}"


if __name__ == "__main__":
    main()
