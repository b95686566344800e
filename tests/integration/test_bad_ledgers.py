"""Ledgers that cannot be opened: the error says what was found, what to do, and nothing is changed."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import alembic.command
import duckdb
import pytest
import sqlalchemy.exc

import foregsyte_kaggle as fk
from foregsyte_kaggle import schema
from foregsyte_kaggle.database import LEDGER_FILE, open_database
from foregsyte_kaggle.errors import (
    ForegsyteError,
    LedgerError,
    LedgerLockedError,
    LedgerVersionError,
    translated,
)

pytestmark = pytest.mark.integration

Run = Callable[..., subprocess.CompletedProcess[str]]

STORED = max(Path(__file__).parent.glob("ledgers/[0-9]*.duckdb.gz"))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """The newest stored ledger, where the workspace ``tmp_path`` keeps its own."""
    file = tmp_path / "data" / "foregsyte.duckdb"
    file.parent.mkdir()
    file.write_bytes(gzip.decompress(STORED.read_bytes()))
    return file


def bootstrap_fails(
    folder: Path, kind: type[LedgerError], *parts: str, cause: bool = True
) -> LedgerError:
    """Bootstrap a folder, and check that the error names its ledger, says all parts and is ours."""
    with pytest.raises(LedgerError) as raised:
        fk.bootstrap(folder)
    error = raised.value
    assert type(error) is kind
    for part in (str(folder), *parts):
        assert part in str(error)
    assert (error.__cause__ is not None) is cause
    with pytest.raises(ForegsyteError):
        fk.jobs_frame()
    return error


def unchanged_after(file: Path, act: Callable[[], object]) -> None:
    before, names = file.read_bytes(), sorted(os.listdir(file.parent))
    act()
    assert file.read_bytes() == before
    assert sorted(os.listdir(file.parent)) == names


def works(folder: Path) -> None:
    """Bootstrap works, and the five jobs are there."""
    assert len(fk.jobs_frame(workspace=fk.bootstrap(folder))) == 5


# Locked


def test_a_ledger_that_another_process_holds_says_which_and_works_once_that_is_gone(
    tmp_path: Path, ledger: Path, hold_ledger: Callable[[Path], subprocess.Popen[str]]
) -> None:
    holder = hold_ledger(tmp_path)
    unchanged_after(
        ledger,
        lambda: bootstrap_fails(
            tmp_path,
            LedgerLockedError,
            f"locked by process {holder.pid}",
            "only one process may hold a ledger",
            f"`kill {holder.pid}`",
            "call bootstrap() again",
            "snapshot(path)",
        ),
    )
    holder.communicate("\n", timeout=60)
    works(tmp_path)


def test_taking_a_copy_does_not_let_another_process_in(
    workspace: fk.Workspace, run_python: Run
) -> None:
    fk.snapshot("copy.duckdb")
    done = run_python(
        "import foregsyte_kaggle as fk\n"
        "try:\n    fk.bootstrap()\n"
        "except fk.LedgerLockedError as error:\n    print(error)"
    )
    assert f"{workspace.ledger_path} is locked by process {os.getpid()}" in done.stdout


def test_a_ledger_that_plain_duckdb_holds_in_this_process_says_to_close_that(
    tmp_path: Path, ledger: Path
) -> None:
    with duckdb.connect(str(ledger)) as connection:
        connection.execute("FROM jobs").fetchall()
        bootstrap_fails(
            tmp_path,
            LedgerLockedError,
            "open in this process already, through a plain duckdb.connect",
            "Close that connection",
            "foregsyte_kaggle.sql(...)",
        )
    works(tmp_path)


def test_a_lock_whose_holder_is_unknown_names_no_process() -> None:
    text = 'IO Error: Could not set lock on file "x": Conflicting lock is held in PID 0.'
    with pytest.raises(LedgerLockedError, match=r"locked by another process\. Close that program"):
        with translated("x", "open"):
            raise duckdb.IOException(text)


# Not a ledger, or no longer one


@pytest.mark.parametrize(
    "content",
    [
        b"path,label\na.mp4,1\n",
        b"x" * 100_000,
        b"PAR1" + bytes(9000),
        b"SQLite format 3\0" + bytes(9000),
    ],
    ids=["a short text", "a long text", "a table", "another database"],
)
def test_a_file_that_is_not_duckdbs_is_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "data" / "foregsyte.duckdb"
    file.parent.mkdir()
    file.write_bytes(content)
    unchanged_after(
        file,
        lambda: bootstrap_fails(
            tmp_path,
            LedgerError,
            "is not a DuckDB file. Nothing was changed.",
            "Move it away",
            "bootstrap() on another directory",
        ),
    )
    file.rename(tmp_path / "away")
    assert len(fk.jobs_frame(workspace=fk.bootstrap(tmp_path))) == 0


def test_an_empty_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "foregsyte.duckdb"
    file.parent.mkdir()
    file.touch()
    unchanged_after(
        file,
        lambda: bootstrap_fails(
            tmp_path, LedgerError, "is an empty file", "Copy it again", "remove it to start a new"
        ),
    )


@pytest.mark.parametrize("length", [20, 4096, 8192, 12_288, 12_289, 100_000, 0.5])
def test_a_truncated_ledger_is_left_alone_and_works_once_copied_again(
    tmp_path: Path, ledger: Path, length: float
) -> None:
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[: int(length if length >= 1 else length * len(whole))])
    unchanged_after(
        ledger,
        lambda: bootstrap_fails(
            tmp_path,
            LedgerError,
            "is truncated or damaged",
            "Nothing was changed. Copy it again from where it came",
            ".wal",
        ),
    )
    ledger.write_bytes(whole)
    works(tmp_path)


@pytest.mark.parametrize("place", [50, 4096 + 50], ids=["first header", "second header"])
def test_a_ledger_with_a_flipped_bit_is_left_alone(
    tmp_path: Path, ledger: Path, place: int
) -> None:
    content = bytearray(ledger.read_bytes())
    content[place] ^= 1
    content[place + 4096 if place > 4096 else place] ^= place > 4096
    ledger.write_bytes(content)
    unchanged_after(
        ledger, lambda: bootstrap_fails(tmp_path, LedgerError, "is truncated or damaged")
    )


def test_a_damaged_log_says_what_leaving_it_costs(tmp_path: Path) -> None:
    workspace = fk.bootstrap(tmp_path)
    file, log = workspace.ledger_path, Path(f"{workspace.ledger_path}.wal")
    assert file is not None
    workspace.database.checkpoint()
    for name in ("a", "b"):
        with fk.SessionLocal() as session:
            session.add(fk.Job(pipeline_id="p", input_path=name))
            session.commit()
    content, logged = file.read_bytes(), bytearray(log.read_bytes())
    workspace.close()
    logged[len(logged) // 4] ^= 1
    file.write_bytes(content)
    log.write_bytes(logged)
    unchanged_after(
        file,
        lambda: bootstrap_fails(
            tmp_path,
            LedgerError,
            "the write-ahead log beside",
            "is damaged",
            "Nothing was changed",
            "move the .wal file away: what was committed last is lost",
        ),
    )
    assert log.read_bytes() == logged
    log.rename(tmp_path / "away.wal")
    assert len(fk.jobs_frame(workspace=fk.bootstrap(tmp_path))) == 0


def test_a_directory_in_the_ledgers_place_says_so(tmp_path: Path) -> None:
    (tmp_path / "data" / "foregsyte.duckdb").mkdir(parents=True)
    bootstrap_fails(tmp_path, LedgerError, "is a folder, where a file is expected", "Move it away")
    (tmp_path / "data" / "foregsyte.duckdb").rmdir()
    fk.bootstrap(tmp_path)


def test_a_foreign_duckdb_file_with_a_table_of_jobs_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "foregsyte.duckdb"
    file.parent.mkdir()
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE jobs AS SELECT 1 AS id, 'printer' AS name")
    unchanged_after(
        file,
        lambda: bootstrap_fails(
            tmp_path,
            LedgerError,
            "has a table 'jobs' but no revision, so foregsyte_kaggle did not make it",
            "another directory, or move the file away",
            cause=False,
        ),
    )


def test_a_foreign_duckdb_file_with_a_table_that_a_migration_makes_is_left_alone(
    tmp_path: Path,
) -> None:
    file = tmp_path / "data" / "foregsyte.duckdb"
    file.parent.mkdir()
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE runs AS SELECT 1 AS id")
    bootstrap_fails(tmp_path, LedgerError, "cannot", '"runs" already exists')
    with duckdb.connect(str(file)) as connection:
        assert connection.execute("SHOW TABLES").fetchall() == [("runs",)]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (["trees"], "has 1 other table in it already ('trees'); the ledger's were added beside"),
        (
            ["a\nb", "c" * 50, "d", "e", "f", "g", "h"],
            f"has 7 other tables in it already ('a\\nb', '{'c' * 40}…', 'd', 'e', 'f', …); the ledger's",
        ),
    ],
    ids=["one", "many"],
)
def test_a_foreign_duckdb_file_with_other_tables_keeps_them_and_is_said_once_to_have_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tables: list[str], said: str
) -> None:
    file = tmp_path / "data" / "foregsyte.duckdb"
    file.parent.mkdir()
    with duckdb.connect(str(file)) as connection:
        for name in tables:
            connection.execute(f'CREATE TABLE "{name}" AS SELECT 1 AS id')
    workspace = fk.bootstrap(tmp_path)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"foregsyte: {file} {said}")
    assert second == f"foregsyte: opened {file}: no jobs yet"
    for name in tables:
        assert len(fk.sql(f'FROM "{name}"', workspace=workspace)) == 1
    workspace.close()
    fk.bootstrap(tmp_path)
    assert "other table" not in capsys.readouterr().out


def test_a_ledger_that_was_taken_down_to_base_is_not_said_to_have_other_tables(
    tmp_path: Path, ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.txt").touch()
    fk.register_jobs([tmp_path / "x.txt"], "file_info", workspace=fk.bootstrap(tmp_path))
    fk.run_jobs("file_info", executor="inline", progress=False)
    fk.bootstrap(tmp_path).close()
    os.chdir(tmp_path)
    alembic.command.downgrade(schema.alembic_config(), "base")
    fk.bootstrap(tmp_path)
    assert fk.sql("SELECT count(*) FROM results.file_info").iloc[0, 0] >= 1
    assert "other table" not in capsys.readouterr().out


# Another version


def with_version(content: bytes, version: int) -> bytes:
    """Return a DuckDB file as if it had another storage version, its header's checksum right."""
    header = bytearray(content[:4096])
    header[12:20] = struct.pack("<Q", version)
    total = 5381
    for (word,) in struct.iter_unpack("<Q", header[8:]):
        total ^= word * 0xBF58476D1CE4E5B9 % 2**64
    header[:8] = struct.pack("<Q", total)
    return bytes(header) + content[4096:]


def test_a_ledger_of_a_newer_duckdb_says_to_upgrade_duckdb(tmp_path: Path, ledger: Path) -> None:
    whole = ledger.read_bytes()
    ledger.write_bytes(with_version(whole, 99))
    unchanged_after(
        ledger,
        lambda: bootstrap_fails(
            tmp_path,
            LedgerVersionError,
            f"written by a newer DuckDB than {duckdb.__version__}",
            "`pip install -U duckdb`, restart the kernel and bootstrap again",
        ),
    )
    ledger.write_bytes(with_version(whole, 64))
    works(tmp_path)


@pytest.mark.parametrize("version", [38, 63])
def test_a_ledger_of_a_very_old_duckdb_says_how_to_bring_it_over(
    tmp_path: Path, ledger: Path, version: int
) -> None:
    ledger.write_bytes(with_version(ledger.read_bytes(), version))
    unchanged_after(
        ledger,
        lambda: bootstrap_fails(
            tmp_path, LedgerVersionError, "written by an old DuckDB", "EXPORT DATABASE"
        ),
    )


def test_a_real_file_of_duckdb_2_is_read_or_its_version_is_the_reason(tmp_path: Path) -> None:
    """It was written by DuckDB 2.0 without the setting that keeps files readable."""
    file = tmp_path / "newer.duckdb"
    stored = Path(__file__).parent / "ledgers" / "newer_storage.duckdb.gz"
    file.write_bytes(gzip.decompress(stored.read_bytes()))
    if int(duckdb.__version__.split(".")[0]) >= 2:
        with open_database(file).reading() as cursor:
            assert cursor.execute("FROM numbers").fetchall() == [(1,)]
        return
    with pytest.raises(LedgerVersionError, match="written by a newer DuckDB than 1"):
        open_database(file)


# A place that cannot be written


@pytest.mark.parametrize("place", ["a file", "a file as data", "proc"])
def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path, place: str) -> None:
    folder, expected = tmp_path / "folder", "is a file; expected the directory of a workspace"
    if place == "a file":
        folder.write_text("x")
    elif place == "a file as data":
        folder.mkdir()
        (folder / "data").write_text("x")
    else:
        folder = Path("/proc/foregsyte")
        if not folder.parent.is_dir():
            pytest.skip("this system has no /proc")
        expected = "Choose a directory that can be written"
    bootstrap_fails(folder, LedgerError, "cannot be made", expected)


def test_a_ledger_in_place_of_its_directory_says_which_to_open(workspace: fk.Workspace) -> None:
    with pytest.raises(LedgerError, match="is a file; expected the directory") as raised:
        fk.bootstrap(workspace.directory / LEDGER_FILE)
    assert f"For this ledger call bootstrap({str(workspace.directory)!r})." in str(raised.value)


@pytest.fixture
def guarded_folder(workspace: fk.Workspace) -> Iterator[Path]:
    """A folder with an empty ``data`` in which this user, also root, may not write."""
    workspace.close()  # it has loaded every module, since as nobody we may not read them
    folder = Path(tempfile.mkdtemp())
    (folder / "data").mkdir(mode=0o755)
    folder.chmod(0o555)
    (folder / "data").chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    yield folder
    if user == 0:
        os.seteuid(0)
    (folder / "data").chmod(0o755)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_is_read_only_says_so(guarded_folder: Path) -> None:
    bootstrap_fails(
        guarded_folder,
        LedgerError,
        "cannot be opened or created",
        "Permission denied",
        "Choose a directory that can be written",
    )
    assert not list((guarded_folder / "data").iterdir())


def test_a_folder_in_a_read_only_one_says_so(guarded_folder: Path) -> None:
    bootstrap_fails(guarded_folder / "new", LedgerError, "cannot be made: Permission denied")


def test_a_device_that_refuses_new_files_says_so() -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("this system has no /proc")
    with pytest.raises(LedgerError, match=r"cannot be opened or created.*Choose a directory"):
        open_database("/proc/self/foregsyte.duckdb")


# The session that was open stays so


def test_a_bootstrap_that_fails_leaves_the_open_workspace_the_default(
    tmp_path: Path, workspace: fk.Workspace
) -> None:
    bad = tmp_path / "bad" / "data" / "foregsyte.duckdb"
    bad.parent.mkdir(parents=True)
    bad.write_text("not a ledger")
    with pytest.raises(LedgerError):
        fk.bootstrap(tmp_path / "bad")
    assert fk.bootstrap() is workspace
    with fk.SessionLocal() as session:
        session.add(fk.Job(pipeline_id="p", input_path="x"))
        session.commit()
    assert len(fk.jobs_frame()) == 1


# No error of DuckDB's or SQLAlchemy's goes through untranslated


def duckdb_errors() -> list[type[Exception]]:
    found = (getattr(duckdb, name) for name in sorted(dir(duckdb)))
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, duckdb.Error)]


@pytest.mark.parametrize("kind", duckdb_errors(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "in SQLAlchemy's"])
def test_every_error_of_duckdb_becomes_ours_with_its_cause_and_text(
    kind: type[Exception], wrapped: bool
) -> None:
    error: Exception = kind("what went wrong")
    if wrapped:
        error = sqlalchemy.exc.DBAPIError("SELECT 1", {}, error)
    with pytest.raises(LedgerError) as raised, translated("/x/y.duckdb", "open"):
        raise error
    assert raised.value.__cause__ is error
    assert str(raised.value) == "cannot open the ledger /x/y.duckdb: what went wrong"


def sqlalchemy_errors() -> list[type[Exception]]:
    found = vars(sqlalchemy.exc).values()
    return [
        kind
        for kind in found
        if isinstance(kind, type) and issubclass(kind, sqlalchemy.exc.SQLAlchemyError)
    ]


@pytest.mark.parametrize("kind", sqlalchemy_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_sqlalchemy_becomes_ours_with_its_cause(kind: type[Exception]) -> None:
    error = kind.__new__(kind, "what went wrong")
    Exception.__init__(error, "what went wrong")
    vars(error).update(code=None, orig=None, statement=None, params=None, detail=[])
    with pytest.raises(LedgerError) as raised, translated(None, "read"):
        raise error
    assert raised.value.__cause__ is error
    assert str(raised.value).startswith("cannot read the ledger in memory: ")


def test_errors_that_are_not_the_databases_go_through_as_they_are() -> None:
    for error in (ValueError("x"), KeyError("x"), LedgerError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, translated(None, "read"):
            raise error
        assert raised.value is error


@pytest.mark.parametrize(
    "kind", [duckdb.ConversionException, duckdb.BinderException, duckdb.ConstraintException]
)
def test_an_error_that_quotes_data_is_not_taken_for_one_of_the_file(kind: type[Exception]) -> None:
    text = "Could not convert string 'Permission denied; Could not set lock; Corrupt' to INT32"
    with pytest.raises(LedgerError) as raised, translated("/x", "write to"):
        raise kind(text)
    assert type(raised.value) is LedgerError
    assert str(raised.value) == f"cannot write to the ledger /x: {text}"


def test_a_folder_named_like_an_error_is_not_taken_for_one() -> None:
    path = Path("/Corrupt checksum/No space left/data/foregsyte.duckdb")
    with pytest.raises(LedgerError) as raised, translated(path, "open"):
        raise duckdb.IOException(f'IO Error: Cannot open file "{path}": Permission denied')
    assert "cannot be opened or created" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("IO Error: Could not write file: No space left on device", "free some room and go on"),
        (
            "FATAL Error: Failed: database has been invalidated because of a previous fatal error",
            "restart the kernel and bootstrap again",
        ),
        (
            "TransactionContext Error: Conflict on update!",
            "Commit or close that session and try again",
        ),
    ],
)
def test_an_error_while_working_says_what_to_do(text: str, says: str) -> None:
    with pytest.raises(LedgerError, match=re.escape(says)), translated("/x", "write to"):
        raise duckdb.OperationalError(text)


def test_a_version_that_duckdb_2_does_not_know_is_the_reason_given() -> None:
    text = "Invalid Input Error: Unsupported Storage Version '3' in the database header!"
    with pytest.raises(LedgerVersionError, match="written by a newer DuckDB"):
        with translated("/x", "open"):
            raise duckdb.InvalidInputException(text)


def test_a_session_that_changed_the_same_job_is_the_reason_given(workspace: fk.Workspace) -> None:
    with fk.SessionLocal() as session:
        job = fk.Job(pipeline_id="p", input_path="x")
        session.add(job)
        session.commit()
        job.source = "mine"
        session.flush()
        with pytest.raises(LedgerError, match="was changed by an open session at the same time"):
            with workspace.database.transaction() as connection:
                connection.execute("UPDATE jobs SET source = 'theirs'")
        session.commit()
    assert any_source(workspace) == [("mine",)]


def any_source(workspace: fk.Workspace) -> list[tuple[Any, ...]]:
    with workspace.database.reading() as cursor:
        return cursor.execute("SELECT source FROM jobs").fetchall()
