"""Runs one peer in this process and prints what came of it, as JSON; imports nothing when it is imported."""

from __future__ import annotations

import contextlib
import json
import sys
import time


def main() -> None:
    from tests.benchmarks.peers.every import PEERS

    name, items = sys.argv[1], int(sys.argv[2])
    loaded = PEERS[name].load()
    error = None
    begun = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        try:
            loaded.run(items)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"[:200]
        seconds = time.perf_counter() - begun
        found = loaded.count()
    print(json.dumps({"seconds": seconds, "error": error, **vars(found)}))


if __name__ == "__main__":
    main()
