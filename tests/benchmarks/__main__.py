"""Measure what the toolkit costs, each figure beside a floor measured in the same run.

``make bench`` prints the table at small sizes, ``make bench args=--full`` at those that the bars are
meant for. Nothing here is asserted: a machine is noisy, and only ratios of medians mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import describe_machine, in_words
from tests.benchmarks.measuring import ROOT, shown
from tests.benchmarks.one import ROWS

FAILED = "ended with"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--sizes",
        choices=("tiny", "small", "full"),
        default="small",
        help="tiny shows only that all rows work; full takes an hour or so",
    )
    parser.add_argument(
        "--full", action="store_const", dest="sizes", const="full", help="the table's sizes"
    )
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--repeat", type=int, default=5, help="how often each is measured; 5")
    parser.add_argument("--json", type=Path, help="where to write the rows; a temporary file")
    arguments = parser.parse_args()
    machine = describe_machine()
    print(in_words(machine), flush=True)
    print(f"{arguments.sizes} sizes; medians of {arguments.repeat}", flush=True)
    begun, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="foregsyte-bench-") as folder:
        for name in arguments.only or ROWS:
            for row in measured(name, arguments.sizes, arguments.repeat, Path(folder)):
                rows.append(row)
                print(line(row), flush=True)
    path = arguments.json or Path(tempfile.mkstemp(prefix="foregsyte-bench-", suffix=".json")[1])
    report = {"machine": machine, "sizes": arguments.sizes, "rows": rows}
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    verdicts = Counter(row["verdict"] for row in rows)
    print(
        f"{verdicts['ok']} ok, {verdicts['MISS']} missed, {verdicts['no bar']} without a bar,"
        f" {verdicts['none']} without figures, in"
        f" {time.monotonic() - begun:.0f} s; {path}"
    )
    if any(row["note"].startswith(FAILED) for row in rows):
        sys.exit(1)


def measured(name: str, sizes: str, repeat: int, folder: Path) -> list[dict[str, Any]]:
    """Measure a row in a process of its own, so that none finds what another left in memory."""
    out = folder / f"{name}.json"
    command = [sys.executable, "-m", "tests.benchmarks.one", name, str(folder), str(out)]
    command += ["--repeat", str(repeat), "--sizes", sizes]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        note = f"{FAILED} {done.returncode}: {last}"
        return [{"name": name, "work": name, "verdict": "none", "note": note}]
    return json.loads(out.read_text(encoding="utf-8"))


def line(row: dict[str, Any]) -> str:
    """Return a row as text: verdict, work, figure, floor, ratio, bar."""
    if row["verdict"] == "none":
        return f"--    {row['name']}: {row['work']}: {row['note']}"
    figure, floor = (shown(row[key], row["unit"]) for key in ("value", "floor_value"))
    each = ""
    if row["count"]:
        low, high = (row[key] / row["count"] * 1e6 for key in ("floor_value", "value"))
        each = f" ({high:,.1f} against {low:,.1f} µs each)"
    note = f"; {row['note']}" if row["note"] else ""
    verdict = "" if row["verdict"] == "no bar" else row["verdict"]
    return (
        f"{verdict:<5} {row['name']}: {row['work']}: {figure}; {row['floor']}: {floor}{each}; "
        f"ratio {row['ratio']:.2f}, {'bar ' + row['bar'] if row['bar'] else 'no bar'}{note}"
    )


if __name__ == "__main__":
    main()
