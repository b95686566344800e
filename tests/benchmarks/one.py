"""Measures one row in this process, for ``__main__``, and writes it to a file.

Importing it imports nothing: processes that a floor spawns import the main module again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

#: Each row's module, in the order of the table.
ROWS = {
    "register_files": "rows_register",
    "register_again": "rows_register",
    "register_parquet": "rows_register",
    "threads": "rows_run",
    "processes": "rows_run",
    "five_ms": "rows_run",
    "dask": "rows_cluster",
    "ray": "rows_cluster",
    "scheduler": "rows_cluster",
    "cost_at_size": "rows_run",
    "start": "rows_run",
    "first_result": "rows_start",
    "jobs_frame": "rows_read",
    "page": "rows_page",
    "results_frame": "rows_read",
    "export": "rows_read",
    "memory": "rows_run",
    "bootstrap": "rows_start",
    "import": "rows_start",
    "light": "rows_start",
    "api": "rows_api",
    "vision": "rows_vision",
    "vision_memory": "rows_vision",
}


def main() -> None:
    from importlib import import_module
    from tempfile import TemporaryDirectory

    from tests.benchmarks.measuring import Bench

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=ROWS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes")
    parser.add_argument("--repeat", type=int)
    arguments = parser.parse_args()
    measure = import_module(f"tests.benchmarks.{ROWS[arguments.name]}").ROWS[arguments.name]
    with TemporaryDirectory(dir=arguments.folder) as scratch:
        bench = Bench(arguments.sizes, arguments.repeat, arguments.folder, Path(scratch))
        rows = measure(bench)
    arguments.out.write_text(json.dumps([row.as_json() for row in rows]), encoding="utf-8")


if __name__ == "__main__":
    main()
