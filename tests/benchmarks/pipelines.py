"""What the benchmarks run; workers import it, so it imports nothing that takes time."""

from __future__ import annotations

import time


def trivial(text: str) -> dict[str, int]:
    return {"length": len(text)}


def five_milliseconds(text: str) -> dict[str, int]:
    time.sleep(0.005)
    return {"length": len(text)}


def twenty_milliseconds(text: str) -> dict[str, int]:
    time.sleep(0.02)
    return {"length": len(text)}


def ten_rows(text: str) -> list[dict[str, object]]:
    return [{"number": n, "score": n / 7, "label": f"{text} {n}"} for n in range(10)]
