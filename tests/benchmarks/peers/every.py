"""All peers by name, in the order of the table."""

from __future__ import annotations

from tests.benchmarks.peers import on_duckdb, on_files, on_sqlite

PEERS = {**on_duckdb.PEERS, **on_sqlite.PEERS, **on_files.PEERS}
