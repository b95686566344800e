"""Write the stored ledgers: one for each revision, as a session at that revision left it.

Run it after writing a migration, with the oldest DuckDB that is supported: it adds the file of the new
revision and leaves the others alone, since they stand for files that users have. What a later revision
adds to the rows goes to the end of ``ROWS``; the statements that are there never change.

    python tests/integration/ledgers/make_ledgers.py

With ``log`` it writes ``with_log.duckdb.gz`` and the write-ahead log that a crash left beside it, anew: that
is for the newest DuckDB, so that older ones are tested with what it writes.

    python tests/integration/ledgers/make_ledgers.py log
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[2]))

from foregsyte_kaggle import schema  # noqa: E402
from foregsyte_kaggle.database import open_database  # noqa: E402

#: What a session at each revision has written, on top of what was there at the one before.
ROWS: dict[str, str] = {
    "5c1f7a0b3d21": """
        INSERT INTO jobs SELECT
            ('00000000-0000-4000-8000-00000000000' || number)::UUID, status::job_status_enum,
            'file_info', 'inputs/' || name,
            CASE WHEN status = 'completed' THEN 'data/outputs/file_info/' || name END,
            CASE WHEN status = 'failed' THEN 'ValueError: it''s broken' END,
            TIMESTAMP '2026-11-24 08:00:00' + to_seconds(number), TIMESTAMP '2026-11-24 09:00:00'
        FROM (VALUES (1, 'pending', 'one.txt'), (2, 'pending', 'zwei 試合.txt'),
                     (3, 'running', 'three.txt'), (4, 'completed', 'four.txt'),
                     (5, 'failed', 'five.txt')) AS t(number, status, name);
    """,
    "8e42c6d9f0a7": """
        UPDATE jobs SET input_size = 10, position = right(job_id::VARCHAR, 1)::BIGINT,
            attempts = CASE WHEN status = 'pending' THEN 0 ELSE 1 END,
            run_id = CASE WHEN status <> 'pending' THEN '00000000-0000-4000-9000-000000000001'::UUID END,
            started_at = CASE WHEN status <> 'pending' THEN TIMESTAMP '2026-11-24 08:30:00' END,
            finished_at = CASE WHEN status IN ('completed', 'failed')
                               THEN TIMESTAMP '2026-11-24 08:31:00' END,
            error_type = CASE WHEN status = 'failed' THEN 'ValueError' END, code_version = 'v1';
    """,
    "b7d05e3c9a14": """
        INSERT INTO job_attempts
            (attempt_id, job_id, run_id, attempt, outcome, started_at, finished_at, duration_seconds,
             error_type, error_message, output_paths, result_rows)
        SELECT ('00000000-0000-4000-a000-00000000000' || position)::UUID, job_id, run_id, 1,
               status::VARCHAR, started_at, finished_at, 60.0, error_type, error_message,
               CASE WHEN status = 'completed' THEN '["' || output_path || '"]' END,
               CASE WHEN status = 'completed' THEN 1 END
        FROM jobs WHERE status IN ('completed', 'failed');
        CREATE SCHEMA results;
        CREATE TABLE results.file_info (job_id UUID NOT NULL, size_bytes BIGINT);
        INSERT INTO results.file_info SELECT job_id, 10 FROM jobs WHERE status = 'completed';
    """,
    "e19a84f27c60": """
        INSERT INTO runs (run_id, pipeline_id, executor, workers, started_at)
        VALUES ('00000000-0000-4000-9000-000000000001', 'file_info', 'processes', 2,
                TIMESTAMP '2026-11-24 08:30:00');
        INSERT INTO sources VALUES ('match-videos', 'folder', NULL, 'videos',
                TIMESTAMP '2026-11-24 08:00:00', TIMESTAMP '2026-11-24 08:00:00');
        INSERT INTO ledger_info (session_id, ledger_id, generation, opened_at)
        VALUES ('00000000-0000-4000-b000-000000000001', '00000000-0000-4000-b000-000000000002', 1,
                TIMESTAMP '2026-11-24 08:00:00');
    """,
    "3f6b0d81c2e5": """
        INSERT INTO ledger_info (session_id, ledger_id, parent_session_id, generation, opened_at, outputs_from)
        VALUES ('00000000-0000-4000-b000-000000000003', '00000000-0000-4000-b000-000000000002',
                '00000000-0000-4000-b000-000000000001', 2, TIMESTAMP '2026-11-25 08:00:00',
                'notebooks/somebody/videos-1/data/outputs');
    """,
}


#: What a session has written after the last checkpoint, when its process died.
LOGGED = (
    """
    INSERT INTO jobs (job_id, status, pipeline_id, input_path, created_at, updated_at, position, attempts)
    SELECT ('00000000-0000-4000-8000-00000000000' || number)::UUID, 'completed', 'file_info',
           'inputs/' || number || '.txt', TIMESTAMP '2026-11-24 10:00:00', TIMESTAMP '2026-11-24 10:00:00',
           number, 1
    FROM range(6, 9) AS t(number);
    """,
    """
    ALTER TABLE results.file_info ADD COLUMN tags VARCHAR[];
    ALTER TABLE results.file_info ALTER size_bytes TYPE HUGEINT;
    """,
    """
    INSERT INTO results.file_info SELECT job_id, position, ['logged'] FROM jobs WHERE position > 5;
    UPDATE jobs SET status = 'running' WHERE position = 8;
    DELETE FROM results.file_info WHERE size_bytes = 8;
    """,
)


def write(folder: Path, number: int, revision: str) -> None:
    """Write the ledger of one revision, compressed."""
    file = folder / f"{number}_{revision}.duckdb.gz"
    if file.exists():
        print(f"{file.name} stays as it is")
        return
    with tempfile.TemporaryDirectory() as temporary:
        database = open_database(Path(temporary, "foregsyte.duckdb"))
        for earlier in list(schema.revision_chain())[:number]:
            schema.upgrade(database, earlier)
            with database.transaction() as connection:
                connection.execute(ROWS[earlier])
        database.close()
        content = Path(temporary, "foregsyte.duckdb").read_bytes()
    file.write_bytes(gzip.compress(content, mtime=0))
    print(f"{file.name}: {len(content):,} bytes, {file.stat().st_size:,} compressed")


def write_with_log(folder: Path) -> None:
    """Write the ledger of the newest revision with a write-ahead log."""
    with tempfile.TemporaryDirectory() as temporary:
        file, crashed = Path(temporary, "foregsyte.duckdb"), Path(temporary, "crashed")
        database = open_database(file)
        for revision in schema.revision_chain():
            schema.upgrade(database, revision)
            with database.transaction() as connection:
                connection.execute(ROWS[revision])
        database.checkpoint()
        for statements in LOGGED:
            with database.transaction() as connection:
                connection.execute(statements)
        crashed.mkdir()
        # By another process, since this one would lose its lock on the file.
        subprocess.run(["cp", file, f"{file}.wal", crashed], check=True)
        database.close()
        for copy in sorted(crashed.iterdir()):
            to = folder / f"{copy.name.replace('foregsyte', 'with_log')}.gz"
            to.write_bytes(gzip.compress(copy.read_bytes(), mtime=0))
            print(f"{to.name}: {copy.stat().st_size:,} bytes, {to.stat().st_size:,} compressed")


if __name__ == "__main__":
    if sys.argv[1:] == ["log"]:
        sys.exit(write_with_log(FOLDER))
    for place, known in enumerate(schema.revision_chain(), start=1):
        write(FOLDER, place, known)
