"""The ledger's schema: old files work, migrations and models agree, failures leave the old schema."""

from __future__ import annotations

import ast
import gzip
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import alembic.script
import duckdb
import pandas as pd
import pytest
from sqlalchemy import create_engine, select

import foregsyte_kaggle as fk
from foregsyte_kaggle import database as databases
from foregsyte_kaggle import schema
from foregsyte_kaggle.database import Base, Database, open_database
from foregsyte_kaggle.errors import LedgerError, LedgerVersionError
from foregsyte_kaggle.models import Job, JobStatus

pytestmark = pytest.mark.integration

Persisted = Callable[[Path | None, str], list[tuple[Any, ...]]]

ROOT = Path(__file__).parents[2]
STORED = sorted(Path(__file__).parent.glob("ledgers/[0-9]*.duckdb.gz"))
SEED_COLUMNS = [
    ("job_id", "UUID", False),
    ("status", "ENUM('pending', 'running', 'completed', 'failed')", False),
    ("pipeline_id", "VARCHAR", False),
    ("input_path", "VARCHAR", False),
    ("output_path", "VARCHAR", True),
    ("error_message", "VARCHAR", True),
    ("created_at", "TIMESTAMP", False),
    ("updated_at", "TIMESTAMP", False),
]
REVISIONS = {
    "5c1f7a0b3d21": "202611240830_create_job_table.py",
    "8e42c6d9f0a7": "202611240831_add_queue_columns.py",
    "b7d05e3c9a14": "202611240832_create_job_attempts.py",
    "e19a84f27c60": "202611240833_create_sources_runs_and_ledger_info.py",
    "3f6b0d81c2e5": "202611260900_add_outputs_from.py",
}
FIRST, *_, HEAD = REVISIONS


def ledger_in(folder: Path) -> Path:
    return folder / "data" / "foregsyte.duckdb"


def restore(stored: Path, folder: Path) -> Path:
    """Put a stored ledger where a workspace keeps it."""
    file = ledger_in(folder)
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.decompress(stored.read_bytes()))
    return file


def ask(file: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file)) as connection:
        return connection.execute(query).fetchall()


def dump(query: Callable[[str], list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that a schema consists of, without what Alembic keeps for itself."""
    ours = "database_name = current_database() AND schema_name = 'main' AND NOT internal"
    tables = "table_name <> 'alembic_version'"
    return {
        "columns": query(
            "SELECT table_name, column_index, column_name, data_type, is_nullable, column_default"
            f" FROM duckdb_columns() WHERE {ours} AND {tables} ORDER BY ALL"
        ),
        "constraints": query(
            "SELECT table_name, constraint_type, constraint_column_names, constraint_text"
            " FROM duckdb_constraints() WHERE database_name = current_database()"
            f" AND schema_name = 'main' AND {tables} ORDER BY ALL"
        ),
        "indexes": query(
            "SELECT table_name, index_name, is_unique, is_primary, expressions"
            " FROM duckdb_indexes() WHERE database_name = current_database() ORDER BY ALL"
        ),
        "types": query(
            f"SELECT type_name, logical_type, labels FROM duckdb_types() WHERE {ours} ORDER BY ALL"
        ),
    }


def dump_file(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    with duckdb.connect(str(file)) as connection:
        return dump(lambda query: connection.execute(query).fetchall())


def dump_database(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.reading() as cursor:
        return dump(lambda query: cursor.execute(query).fetchall())


def columns_of(found: dict[str, list[tuple[Any, ...]]], table: str) -> list[tuple[Any, ...]]:
    return [(row[2], row[3], row[4]) for row in found["columns"] if row[0] == table]


# 1. Old files still work


def test_there_is_a_stored_ledger_for_each_revision() -> None:
    expected = [f"{n}_{revision}.duckdb.gz" for n, revision in enumerate(REVISIONS, start=1)]
    assert [file.name for file in STORED] == expected, (
        "run tests/integration/ledgers/make_ledgers.py with the oldest supported DuckDB and commit the "
        "new file; never change one that is there"
    )


@pytest.mark.parametrize("stored", STORED, ids=lambda file: file.name.split(".")[0])
def test_an_old_ledger_is_upgraded_read_resumed_and_added_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stored: Path
) -> None:
    revision = stored.name.removesuffix(".duckdb.gz").split("_")[1]
    file = restore(stored, tmp_path)
    assert ask(file, "SELECT version_num FROM alembic_version") == [(revision,)]
    query = "SELECT job_id, status::VARCHAR, input_path, error_message FROM jobs ORDER BY job_id"
    before = ask(file, query)
    assert {row[1] for row in before} == {status.value for status in JobStatus}

    workspace = fk.bootstrap(tmp_path)
    assert schema.current_revision(workspace.database) == HEAD
    said = capsys.readouterr().out

    backups = list((tmp_path / "data" / "backups").glob("*"))
    if revision == HEAD:
        assert not backups
    else:
        (backup,) = backups
        assert f"upgrading the ledger from revision {revision}; its copy is {backup}" in said
        assert ask(backup, "SELECT version_num FROM alembic_version") == [(revision,)]
        assert ask(backup, query) == before

    jobs = fk.jobs_frame().set_index("job_id")
    assert set(jobs.index) == {str(row[0]) for row in before}
    for job_id, status, path, message in before:
        job = jobs.loc[str(job_id)]
        assert job.status == ("pending" if status == "running" else status)
        assert job.input_path == path
        assert job.error_message == message or (message is None and job.status != "failed")
    assert "1 job that it left running is pending again" in said

    for path in jobs.input_path[jobs.status == "pending"]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("0123456789")
    run = fk.run_jobs("file_info", executor="inline", progress=False)
    assert (run.completed, run.failed) == (3, 0)
    assert set(fk.results_frame("file_info").size_bytes) == {10}

    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "new.txt").write_text("x")
    assert fk.register_jobs(tmp_path / "more", "file_info").added == 1
    assert fk.retry_jobs() == 1
    (tmp_path / "inputs" / "five.txt").write_text("0123456789")
    run = fk.run_jobs("file_info", executor="inline", progress=False)
    assert (run.completed, run.failed) == (2, 0)
    assert fk.summary_frame().loc["file_info"].completed == 6


@pytest.mark.parametrize("opened_by", ["plain DuckDB", "bootstrap"])
def test_a_ledger_of_the_newest_duckdb_opens_with_all_that_is_in_its_log(
    tmp_path: Path, opened_by: str
) -> None:
    """It was written by DuckDB 2.0.1, and is read here by the one of this lane."""
    file = restore(STORED[0].with_name("with_log.duckdb.gz"), tmp_path)
    log = STORED[0].with_name("with_log.duckdb.wal.gz")
    file.with_name(f"{file.name}.wal").write_bytes(gzip.decompress(log.read_bytes()))
    if opened_by == "bootstrap":
        fk.bootstrap(tmp_path).close()
    statuses = dict(ask(file, "SELECT status::VARCHAR, count(*) FROM jobs GROUP BY ALL"))
    left_running = {"pending": 4} if opened_by == "bootstrap" else {"pending": 2, "running": 2}
    assert statuses == {"completed": 3, "failed": 1, **left_running}
    assert ask(file, "SELECT * EXCLUDE (job_id) FROM results.file_info ORDER BY size_bytes") == [
        (6, ["logged"]),
        (7, ["logged"]),
        (10, None),
    ]


@pytest.mark.parametrize("stored", STORED, ids=lambda file: file.name.split(".")[0])
def test_an_old_ledger_can_be_taken_down_to_base_and_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Path
) -> None:
    file = restore(stored, tmp_path)
    monkeypatch.chdir(tmp_path)
    alembic.command.downgrade(schema.alembic_config(), "base")
    assert not any(dump_file(file).values())
    fk.bootstrap()
    assert schema.current_revision(fk.bootstrap().database) == HEAD


@pytest.mark.parametrize("stored", STORED[:-1], ids=lambda file: file.name.split(".")[0])
def test_an_upgraded_ledger_has_the_schema_of_a_new_one(tmp_path: Path, stored: Path) -> None:
    restore(stored, tmp_path / "old")
    old, new = fk.bootstrap(tmp_path / "old"), fk.bootstrap(tmp_path / "new")
    assert dump_database(old.database) == dump_database(new.database)


# 2. Migrations and models agree


def test_migrations_and_models_make_the_same_schema(tmp_path: Path) -> None:
    migrated = dump_database(fk.bootstrap(tmp_path).database)
    engine = create_engine("duckdb:///:memory:")
    with engine.connect() as connection:
        Base.metadata.create_all(connection)
        raw = connection.connection.driver_connection
        modelled = dump(lambda query: raw.execute(query).fetchall())
    engine.dispose()
    for part, rows in modelled.items():
        assert migrated[part] == rows, (
            f"the {part} that the migrations make differ from those of foregsyte_kaggle/models.py. "
            "Changed a model? Write the migration: make migration name=add_x. Wrote a migration? Change "
            "the model too, with its new columns last, as ALTER TABLE puts them."
        )
    assert migrated["columns"]
    assert migrated["types"]


def test_the_first_revision_is_the_seeds_table_column_for_column(tmp_path: Path) -> None:
    database = open_database(tmp_path / "first.duckdb")
    schema.upgrade(database, FIRST)
    found = dump_database(database)
    assert columns_of(found, "jobs") == SEED_COLUMNS
    assert {row[0] for row in found["columns"]} == {"jobs"}
    assert [row[:3] for row in found["constraints"] if row[1] == "PRIMARY KEY"] == [
        ("jobs", "PRIMARY KEY", ["job_id"])
    ]
    assert found["types"] == [
        ("job_status_enum", "ENUM", ["pending", "running", "completed", "failed"])
    ]


def test_each_step_down_undoes_its_step_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = open_database(databases.LEDGER_FILE)
    seen = [dump_database(database)]
    for revision in REVISIONS:
        schema.upgrade(database, revision)
        seen.append(dump_database(database))
    for number in reversed(range(len(REVISIONS))):
        alembic.command.downgrade(schema.alembic_config(), "-1")
        assert dump_database(database) == seen[number]


# 3. The list of revisions


def test_revisions_are_the_ones_that_ledgers_have() -> None:
    assert list(schema.revision_chain()) == list(REVISIONS), (
        "a revision that was released cannot be renamed or taken away, since ledgers are at it; add new "
        "ones at the end, here too"
    )
    assert list(schema.revision_chain().values()) == [None, *list(REVISIONS)[:-1]]
    assert schema.head_revision() == HEAD


def test_migration_files_are_named_by_time_and_slug_in_the_order_they_run() -> None:
    files = sorted((schema.migrations_directory() / "versions").glob("*.py"))
    assert [file.name for file in files] == list(REVISIONS.values())
    for file, revision in zip(files, REVISIONS, strict=True):
        text = file.read_text(encoding="utf-8")
        assert re.fullmatch(r"\d{12}_[a-z0-9_]+\.py", file.name)
        assert text.startswith(f'"""{file.stem[13:]}\n\nRevision ID: {revision}\n')
        assert "foregsyte_kaggle" not in text, f"{file.name} must not import what can change"


# 4. A step that fails


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the migrations, in place of the package's own."""
    copy = tmp_path / "migrations"
    shutil.copytree(ROOT / "migrations", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema, "migrations_directory", lambda: copy)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    schema.revision_chain.cache_clear()
    yield copy
    schema.revision_chain.cache_clear()


EXTRA = '''"""add_extra

Revision ID: ffffffffffff
Revises: {head}
"""

import sqlalchemy as sa
from alembic import op

revision = "ffffffffffff"
down_revision = "{head}"


def upgrade() -> None:
    op.create_table("extra", sa.Column("number", sa.Integer()))
    op.execute("INSERT INTO extra VALUES (1)")
    op.add_column("jobs", sa.Column("extra", sa.String()))
    {last}


def downgrade() -> None:
    op.drop_column("jobs", "extra")
    op.drop_table("extra")
'''


def add_revision(migrations: Path, last: str = "") -> None:
    file = migrations / "versions" / "202699999999_add_extra.py"
    file.write_text(EXTRA.format(head=HEAD, last=last))
    schema.revision_chain.cache_clear()


@pytest.mark.parametrize(
    ("last", "error"),
    [
        ("op.execute('SELECT no_such_function()')", LedgerError),
        ("raise ZeroDivisionError", ZeroDivisionError),
    ],
    ids=["SQL that fails", "code that raises"],
)
@pytest.mark.parametrize("stored", [STORED[0], STORED[-1]], ids=["from the first", "from the last"])
def test_a_failing_step_leaves_nothing_and_stays_pending_and_the_rerun_applies_each_once(
    tmp_path: Path, migrations: Path, stored: Path, last: str, error: type[Exception]
) -> None:
    file = restore(stored, tmp_path)
    before, jobs = dump_file(file), ask(file, "FROM jobs ORDER BY job_id")
    revision = ask(file, "FROM alembic_version")

    add_revision(migrations, last)
    with pytest.raises(error):
        fk.bootstrap(tmp_path)
    assert dump_file(file) == before
    assert ask(file, "FROM jobs ORDER BY job_id") == jobs
    assert ask(file, "FROM alembic_version") == revision

    add_revision(migrations)
    workspace = fk.bootstrap(tmp_path)
    assert schema.current_revision(workspace.database) == "ffffffffffff"
    with workspace.database.reading() as cursor:
        assert cursor.execute("SELECT number FROM extra").fetchall() == [(1,)]
        assert cursor.execute("SELECT count(extra), count(*) FROM jobs").fetchall() == [(0, 5)]
    workspace.close()
    fk.bootstrap(tmp_path)
    with fk.bootstrap(tmp_path).database.reading() as cursor:
        assert cursor.execute("SELECT number FROM extra").fetchall() == [(1,)]


# 5. Nothing to do


def test_upgrading_a_current_ledger_changes_nothing(tmp_path: Path) -> None:
    file = restore(STORED[-1], tmp_path)
    content, changed_at = file.read_bytes(), file.stat().st_mtime_ns
    database = open_database(file)
    schema.upgrade(database)
    database.close()
    assert file.read_bytes() == content
    assert file.stat().st_mtime_ns == changed_at
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("stored", STORED, ids=lambda file: file.name.split(".")[0])
def test_asking_what_is_pending_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Path
) -> None:
    file = restore(stored, tmp_path)
    monkeypatch.chdir(tmp_path)
    content, changed_at = file.read_bytes(), file.stat().st_mtime_ns
    database = open_database(file)
    assert schema.check_revision(database) is (stored == STORED[-1])
    database.close()
    alembic.command.current(schema.alembic_config())
    alembic.command.history(schema.alembic_config(), indicate_current=True)
    assert file.read_bytes() == content
    assert file.stat().st_mtime_ns == changed_at
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_asking_for_the_revision_of_no_ledger_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    alembic.command.current(schema.alembic_config())
    assert not list(tmp_path.iterdir())


# 6. Too old, too new


def test_a_ledger_of_a_newer_version_says_to_upgrade_the_package(tmp_path: Path) -> None:
    file = restore(STORED[-1], tmp_path)
    ask(file, "UPDATE alembic_version SET version_num = 'abcdef012345'")
    content = file.read_bytes()
    with pytest.raises(LedgerVersionError) as raised:
        fk.bootstrap(tmp_path)
    message = str(raised.value)
    assert str(file) in message
    assert "is at revision abcdef012345" in message
    assert f"its newest is {HEAD}" in message
    assert "pip install -U foregsyte-kaggle" in message
    assert file.read_bytes() == content


def test_a_ledger_of_an_older_version_is_upgraded_and_says_where_its_copy_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    restore(STORED[0], tmp_path)
    fk.bootstrap(tmp_path)
    said = capsys.readouterr().out
    assert f"upgrading the ledger from revision {FIRST}; its copy is {tmp_path}" in said
    assert "pip install" not in said


def test_an_old_ledger_without_jobs_is_upgraded_without_a_copy(tmp_path: Path) -> None:
    file = restore(STORED[0], tmp_path)
    ask(file, "DELETE FROM jobs")
    fk.bootstrap(tmp_path)
    assert not (tmp_path / "data" / "backups").exists()


def test_a_ledger_that_alembic_took_down_meanwhile_is_upgraded_by_the_next_bootstrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = fk.bootstrap()
    alembic.command.downgrade(schema.alembic_config(), FIRST)
    assert schema.current_revision(workspace.database) == FIRST
    assert fk.bootstrap() is workspace
    assert schema.current_revision(workspace.database) == HEAD


def test_jobs_that_lost_their_source_by_a_downgrade_learn_it_when_they_are_registered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fk.bootstrap()
    (tmp_path / "clips").mkdir()
    for name in "ab":
        (tmp_path / "clips" / name).write_text(name)
    fk.pipeline("p")(lambda _path, **_params: None)
    with fk.SessionLocal() as session:
        session.add(Job(pipeline_id="p", input_path="by hand"))
        session.commit()
    fk.register_jobs("clips", "p", params={"size": 3})
    fk.register_jobs("clips", "p")
    fk.run_jobs("p", source="clips", limit=1, executor="inline", progress=False)
    columns = ["job_id", "status", "source", "input_path", "params", "input_size"]
    before = fk.jobs_frame()[columns].sort_values("job_id", ignore_index=True)

    alembic.command.downgrade(schema.alembic_config(), FIRST)
    fk.bootstrap()
    assert fk.jobs_frame().source.isna().all()
    (tmp_path / "clips" / "c").write_text("c")
    again = fk.register_jobs("clips", "p", params={"size": 3})
    assert (again.added, again.unchanged, again.changed) == (1, 2, 0)
    plain = fk.register_jobs("clips", "p", limit=2)
    assert (plain.added, plain.unchanged, plain.changed) == (0, 2, 0)
    after = fk.jobs_frame()[columns].sort_values("job_id", ignore_index=True)
    kept = after[after.input_path != "c"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before, check_dtype=False, check_categorical=False)
    assert fk.run_jobs("p", source="clips", executor="inline", progress=False).completed == 4


def test_an_upgrade_that_has_no_room_for_the_copy_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = restore(STORED[0], tmp_path)
    content = file.read_bytes()
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(LedgerError, match=r"no room.*1,323,008 bytes needed, 1,000 free"):
        fk.bootstrap(tmp_path)
    assert file.read_bytes() == content


# 7. Awkward paths


@pytest.mark.parametrize(
    "name",
    [
        "100%",
        "%(here)s %s",
        'it\'s "quoted"',
        "two  spaces ",
        "試合 ⚽ é",
        "a#b;c=d&e",
        "-x",
        "$HOME",
    ],
)
def test_a_ledger_in_a_folder_with_an_awkward_name_is_made_upgraded_and_copied(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    file = restore(STORED[0], folder)
    workspace = fk.bootstrap(folder)
    assert workspace.ledger_path == file
    assert schema.current_revision(workspace.database) == HEAD
    (backup,) = (folder / "data" / "backups").iterdir()
    assert ask(backup, "SELECT count(*) FROM jobs") == [(5,)]
    copy = fk.snapshot(folder / f"{name}.duckdb")
    with fk.SessionLocal() as session:
        session.scalars(select(Job)).first()
        other_copy = fk.snapshot(folder / f"{name} 2.duckdb")
    workspace.close()
    for path in (file, copy, other_copy):
        assert ask(path, "SELECT count(*) FROM jobs") == [(5,)]


@pytest.mark.parametrize("name", ["100%", 'it\'s "quoted"', "試合 ⚽"])
def test_migrations_in_a_folder_with_an_awkward_name_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    copy = tmp_path / name / "migrations"
    shutil.copytree(ROOT / "migrations", copy)
    monkeypatch.setattr(schema, "migrations_directory", lambda: copy)
    assert schema.current_revision(fk.bootstrap(tmp_path).database) == HEAD


# 8. Old code on the new schema


def test_code_of_the_first_revision_works_on_the_newest_schema(tmp_path: Path) -> None:
    fk.bootstrap(tmp_path)
    for name in ("by sql.txt", "by orm.txt", "by sql later.txt"):
        (tmp_path / name).write_text("0123456789")
    insert = (
        "INSERT INTO jobs (job_id, status, pipeline_id, input_path, output_path, error_message,"
        " created_at, updated_at) VALUES (uuid(), 'pending', 'file_info', '{}', NULL, NULL,"
        " TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01')"
    )
    with fk.bootstrap(tmp_path).database.transaction() as connection:
        connection.execute(insert.format("by sql.txt"))
    with fk.SessionLocal() as session:
        session.add(Job(pipeline_id="file_info", input_path="by orm.txt"))
        session.commit()
    run = fk.run_jobs("file_info", executor="inline", progress=False)
    assert (run.completed, run.failed) == (2, 0)

    fk.bootstrap(tmp_path).close()
    ask(ledger_in(tmp_path), insert.format("by sql later.txt"))
    fk.bootstrap(tmp_path)
    run = fk.run_jobs("file_info", executor="inline", progress=False)
    assert (run.completed, run.failed) == (1, 0)

    jobs = fk.jobs_frame()
    assert set(jobs.status) == {"completed"}
    with fk.bootstrap(tmp_path).database.reading() as cursor:
        numbered = cursor.execute("SELECT input_path, position FROM jobs ORDER BY position")
        assert numbered.fetchall() == [
            ("by sql.txt", 1),
            ("by orm.txt", 2),
            ("by sql later.txt", 3),
        ]


# The shell


def shell(*arguments: str, config: Path = ROOT / "alembic.ini") -> None:
    """Do what the ``alembic`` command does, in this process."""
    command = alembic.config.CommandLine()
    options = command.parser.parse_args(["-c", str(config), *arguments])
    command.run_cmd(
        alembic.config.Config(str(config), cmd_opts=options, stdout=sys.stdout), options
    )


@pytest.fixture
def quiet_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the command from setting up the log of the whole process."""
    monkeypatch.setattr("logging.config.fileConfig", lambda *_, **__: None)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_logging: None) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_shell_makes_the_same_ledger_as_bootstrap(in_folder: Path) -> None:
    shell("upgrade", "head")
    made = dump_file(ledger_in(in_folder))
    fk.bootstrap("other")
    assert made == dump_database(fk.bootstrap("other").database)
    assert fk.bootstrap().database.path == ledger_in(in_folder)


def test_the_shell_says_where_a_ledger_is_and_what_there_is(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell("current")
    assert HEAD not in capsys.readouterr().out
    assert not list(in_folder.iterdir())
    shell("upgrade", "+1")
    shell("current")
    assert FIRST in capsys.readouterr().out
    shell("upgrade", "head")
    shell("current")
    assert f"{HEAD} (head)" in capsys.readouterr().out
    shell("history")
    history = capsys.readouterr().out
    assert [line.split()[2].rstrip(",") for line in history.splitlines()] == list(REVISIONS)[::-1]


def test_the_shell_finds_migrations_and_package_of_its_checkout_from_any_folder(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    config = alembic.config.Config(str(ROOT / "alembic.ini"))
    scripts = alembic.script.ScriptDirectory.from_config(config)
    assert Path(scripts.dir) == ROOT / "migrations"
    assert sys.path[0] == str(ROOT), "not the folder that the shell is in"


def test_the_shell_takes_another_ledger_by_its_path(in_folder: Path) -> None:
    shell("-x", "ledger=100% else/x y.duckdb", "upgrade", "head")
    assert ask(in_folder / "100% else" / "x y.duckdb", "FROM alembic_version") == [(HEAD,)]
    assert not (in_folder / "data").exists()


def test_the_shell_keeps_a_copy_of_a_ledger_with_jobs_when_its_revision_changes(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = restore(STORED[0], in_folder)
    shell("upgrade", "head")
    (first,) = (in_folder / "data" / "backups").iterdir()
    assert str(first) in capsys.readouterr().out
    shell("upgrade", "head")
    shell("upgrade", "heads")
    shell("current")
    assert list((in_folder / "data" / "backups").iterdir()) == [first]
    shell("downgrade", HEAD)
    assert list((in_folder / "data" / "backups").iterdir()) == [first]
    shell("downgrade", "base")
    copies = set((in_folder / "data" / "backups").iterdir())
    assert len(copies) == 2
    for copy in copies:
        assert ask(copy, "SELECT count(*) FROM jobs") == [(5,)]
    assert not any(dump_file(file).values())


def test_the_shell_writes_sql_that_makes_the_same_schema(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell("upgrade", "head", "--sql")
    script = capsys.readouterr().out
    assert not list(in_folder.iterdir())
    with duckdb.connect() as connection:
        connection.execute(script)
        made = dump(lambda query: connection.execute(query).fetchall())
        assert connection.execute("FROM alembic_version").fetchall() == [(HEAD,)]
    assert made == dump_database(fk.bootstrap().database)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the command for a new migration needs, with that migration in it."""
    made = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "migrations", made / "migrations", ignore=ignored)
    for name in ("alembic.ini", "pyproject.toml"):
        shutil.copy(ROOT / name, made)
    done = real_shell(made, "revision", "-m", "add x", config=made / "alembic.ini")
    assert done.returncode == 0, done.stderr
    return made


def test_the_shell_writes_a_new_revision_from_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    *_, file = sorted((checkout / "migrations" / "versions").glob("*.py"))
    assert re.fullmatch(r"\d{12}_add_x\.py", file.name)
    text = file.read_text()
    assert text.startswith('"""add x\n')
    assert "import sqlalchemy as sa\nfrom alembic import op\n" in text
    assert "DuckDB types only" in text
    names = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert names == {"upgrade", "downgrade"}

    monkeypatch.setattr(schema, "migrations_directory", lambda: checkout / "migrations")
    schema.revision_chain.cache_clear()
    try:
        assert schema.revision_chain()[schema.head_revision()] == HEAD
        workspace = fk.bootstrap(tmp_path)
        assert schema.current_revision(workspace.database) == schema.head_revision() != HEAD
    finally:
        schema.revision_chain.cache_clear()


def test_a_new_revision_passes_the_checks_and_keeps_its_imports_when_they_fix(
    checkout: Path,
) -> None:
    pytest.importorskip("ruff", reason="the checks need ruff")
    *_, file = sorted((checkout / "migrations" / "versions").glob("*.py"))
    text = file.read_text()
    for check in (("check",), ("format", "--check"), ("check", "--fix")):
        command = [sys.executable, "-m", "ruff", *check, "--no-cache", str(file)]
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert file.read_text() == text
    assert "import sqlalchemy as sa\nfrom alembic import op\n" in text


def real_shell(
    folder: Path, *arguments: str, config: Path = ROOT / "alembic.ini"
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(config), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_command_upgrades_a_ledger_from_a_real_shell(tmp_path: Path) -> None:
    done = real_shell(tmp_path, "upgrade", "head")
    assert done.returncode == 0
    assert f"Running upgrade  -> {FIRST}, create_job_table" in done.stderr
    assert ask(ledger_in(tmp_path), "FROM alembic_version") == [(HEAD,)]


def locked(file: Path, hold: Callable[[Path], subprocess.Popen[str]]) -> str:
    return f"locked by process {hold(file.parents[1]).pid}, most likely another notebook's kernel"


def truncated(file: Path, _: object) -> str:
    file.write_bytes(file.read_bytes()[:5000])
    return "is truncated or damaged"


def of_a_newer_version(file: Path, _: object) -> str:
    ask(file, "UPDATE alembic_version SET version_num = 'abcdef012345'")
    return (
        f"(its newest is {HEAD}). A newer version wrote it: run `pip install -U foregsyte-kaggle`"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("upgrade", "head"),
        pytest.param(("downgrade", "base"), marks=pytest.mark.slow),
        pytest.param(("current",), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("spoil", [locked, truncated, of_a_newer_version])
def test_the_shell_says_in_one_line_what_is_wrong_with_a_ledger_and_copies_nothing(
    tmp_path: Path,
    hold_ledger: Callable[[Path], subprocess.Popen[str]],
    spoil: Callable[[Path, Any], str],
    arguments: tuple[str, ...],
) -> None:
    file = restore(STORED[-1], tmp_path)
    said = spoil(file, hold_ledger)
    done = real_shell(tmp_path, *arguments)
    (line,) = done.stderr.splitlines()
    assert line.startswith(("the ledger", str(file)))
    assert said in line
    assert (done.returncode, done.stdout) == (1, "")
    assert not (file.parent / "backups").exists()


def test_the_shell_shows_where_an_error_comes_from_when_asked(tmp_path: Path) -> None:
    truncated(restore(STORED[-1], tmp_path), None)
    done = real_shell(tmp_path, "--raiseerr", "current")
    assert "Traceback" in done.stderr
    assert "LedgerError: the ledger" in done.stderr


@pytest.mark.parametrize("target", ["nosuch", "+9"])
def test_a_revision_that_is_unknown_is_refused_before_anything_is_copied(
    tmp_path: Path, target: str
) -> None:
    file = restore(STORED[0], tmp_path)
    content = file.read_bytes()
    done = real_shell(tmp_path, "upgrade", target)
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("FAILED: ")
    assert target in line
    assert "Traceback" not in done.stderr
    assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_alembic_uses_the_engine_of_the_open_workspace_and_no_second_one(
    in_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace = fk.bootstrap()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a second engine is made")

    monkeypatch.setattr(databases, "create_engine", refuse)
    monkeypatch.setattr("sqlalchemy.create_engine", refuse)
    monkeypatch.setattr("sqlalchemy.engine_from_config", refuse)
    config = alembic.config.Config(str(ROOT / "alembic.ini"), stdout=sys.stdout)
    alembic.command.current(config)
    alembic.command.downgrade(config, "-1")
    alembic.command.upgrade(config, "head")
    alembic.command.downgrade(config, "base")
    assert not any(dump_database(workspace.database).values())
    alembic.command.upgrade(config, "head")
    alembic.command.current(config)
    assert f"{HEAD} (head)" in capsys.readouterr().out
    assert not workspace.database.closed
    with fk.SessionLocal() as session:
        session.add(Job(pipeline_id="p", input_path="x"))
        session.commit()
    assert len(fk.jobs_frame()) == 1


def test_alembic_waits_for_the_readers_of_the_open_workspace(in_folder: Path) -> None:
    workspace = fk.bootstrap()
    order: list[str] = []

    def migrate() -> None:
        alembic.command.downgrade(schema.alembic_config(), "-1")
        order.append("migrated")

    thread = threading.Thread(target=migrate)
    with workspace.database.reading() as cursor:
        thread.start()
        while not workspace.database._waits_for_readers:
            threading.Event().wait(0.001)
        assert cursor.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]
        order.append("read")
    thread.join(60)
    assert order == ["read", "migrated"]
