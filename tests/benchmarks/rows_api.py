"""The HTTP face: what requests cost a run that works beside them."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import foregsyte_kaggle as fk
from tests.benchmarks import inputs, pipelines
from tests.benchmarks.measuring import Bar, Bench, Row, seconds

RATE = 20
#: Asks in turn, on time whatever an answer takes, until nobody listens; prints how many were not answered.
CLIENT = f"""
import sys, time, urllib.request
paths = ["/health", "/jobs?limit=50", "/counts", "/", "/jobs?status=completed&search=1"]
begun, asked, lost = time.monotonic(), 0, 0
while True:
    time.sleep(max(0, begun + asked / {RATE} - time.monotonic()))
    try:
        urllib.request.urlopen(sys.argv[1] + paths[asked % len(paths)], timeout=20).read()
    except OSError as error:
        if "refused" in str(error):
            break
        lost += 1
    asked += 1
print(asked, lost)
"""


def api(bench: Bench) -> list[Row]:
    """The bar is a run at least 90 % as fast as alone; an answer that is missing is an error."""
    count = bench.size(1_500, 10_000)
    fk.pipeline("measured")(pipelines.five_milliseconds)

    def run() -> float:
        fk.register_jobs(inputs.ids(count), "measured", name="inputs")
        return seconds(partial(fk.run_jobs, "measured", workers=2))

    def alone() -> float:
        with inputs.workspace(bench.scratch):
            return run()

    def beside() -> float:
        with inputs.workspace(bench.scratch):
            server = fk.serve()
            command = [sys.executable, "-c", CLIENT, server.url]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
                taken = run()
                server.stop()
                asked, lost = map(int, client.communicate(timeout=60)[0].split())
            # The last one may meet the end.
            if lost > 1 or asked < RATE * taken / 2:
                raise RuntimeError(f"{lost} of {asked} requests were not answered in {taken:.1f} s")
            return taken

    row = Row(
        "api",
        f"run {count:,} 5 ms jobs on two processes beside {RATE} requests a second",
        "the same run alone",
        bar=Bar(times=1.11),
        count=count,
    )
    return [bench.compare(row, alone, beside, warm_up=True)]


ROWS = {"api": api}
