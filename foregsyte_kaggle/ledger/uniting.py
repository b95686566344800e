"""The jobs and attempts of another ledger, which is attached, united with this one's.

Completed beats failed beats pending; among completed, and among failed, the latest finish wins, then the
smaller attempt id. What is left to tell two rows apart is compared too, so that uniting ledgers in any
order, or again, comes to the same. A file that the other ledger has in an archive comes as a file of its
own, so the rows that come say that path; and the two are the same file where rows are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["UnitedJobs", "compare_jobs", "unite_jobs"]

#: What a job's row says of its last try; it goes where the winner goes.
OUTCOME = (
    "output_path",
    "error_message",
    "updated_at",
    "input_size",
    "progress",
    "run_id",
    "started_at",
    "finished_at",
    "error_type",
    "code_version",
)


#: The path outside of its archive of a file, or in JSON of many, that may be in one.
LOOSE_PATH = r"regexp_replace({0}, '^(?s:.*?)\.zip!/', 'data/outputs/')"
LOOSE_PATHS = (
    r"""regexp_replace({0}::VARCHAR, '"(?:[^"\\]|\\.)*?\.zip!/', '"data/outputs/', 'g')::JSON"""
)


@dataclass(frozen=True)
class UnitedJobs:
    """How many jobs are new, how many were replaced by the other ledger's, and how many attempts came."""

    added: int
    replaced: int
    attempts: int


def compare_jobs(connection: DuckDBPyConnection, catalog: str) -> None:
    """Make the temporary table ``united``: what becomes of each job of the attached ledger.

    ``is_new``, ``wins``; ``brings_rows`` if its results come too; ``completed_twice`` if both sides
    completed it, each in a try of its own; ``tried`` and ``own_tried``, the attempts that these were.
    """
    same = ", ".join(f"{name} := {{side}}.{name}" for name in OUTCOME)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE united AS
        SELECT theirs.job_id, theirs.pipeline_id, theirs.position, theirs.created_at,
               own.job_id IS NULL AS is_new,
               own.job_id IS NOT NULL AND CASE
                   WHEN theirs.rank <> own.rank THEN theirs.rank > own.rank
                   WHEN theirs.finish <> own.finish THEN theirs.finish > own.finish
                   WHEN theirs.tried <> own.tried THEN theirs.tried < own.tried
                   WHEN theirs.updated_at <> own.updated_at THEN theirs.updated_at > own.updated_at
                   ELSE to_json(struct_pack({same.format(side="theirs")}))::VARCHAR
                        > to_json(struct_pack({same.format(side="own")}))::VARCHAR
               END AS wins,
               theirs.rank = 2 AND (is_new OR wins) AS brings_rows,
               NOT is_new AND theirs.rank = 2 AND own.rank = 2 AND theirs.tried <> own.tried
                   AS completed_twice,
               theirs.tried, own.tried AS own_tried
        FROM ({_ranked(f"{catalog}.main")}) AS theirs LEFT JOIN ({_ranked("main")}) AS own USING (job_id)
        """
    ).fetchall()


def _ranked(schema: str) -> str:
    """Return the query of a ledger's jobs with what decides; a job under way there counts as pending."""
    pending = "jobs.status::VARCHAR = 'running'"
    cleared = ", ".join(
        f"CASE WHEN {pending} THEN NULL ELSE jobs.{name} END AS {name}"
        for name in ("progress", "started_at", "finished_at")
    )
    return f"""
        SELECT jobs.* REPLACE ({cleared}, {LOOSE_PATH.format("jobs.output_path")} AS output_path),
               CASE jobs.status::VARCHAR WHEN 'completed' THEN 2 WHEN 'failed' THEN 1 ELSE 0 END AS rank,
               CASE WHEN rank > 0 THEN coalesce(jobs.finished_at, TIMESTAMP '1970-01-01')
                    ELSE TIMESTAMP '1970-01-01' END AS finish,
               CASE WHEN rank > 0 THEN coalesce(ended.attempt_id, 'none') ELSE '' END AS tried
        FROM {schema}.jobs AS jobs LEFT JOIN (
            SELECT job_id, finished_at, min(attempt_id::VARCHAR) AS attempt_id
            FROM {schema}.job_attempts WHERE finished_at IS NOT NULL GROUP BY ALL
        ) AS ended ON ended.job_id = jobs.job_id AND ended.finished_at = jobs.finished_at
    """


def unite_jobs(connection: DuckDBPyConnection, catalog: str) -> UnitedJobs:
    """Take over what ``compare_jobs`` found, inside the caller's transaction."""
    attempts = _execute(
        connection,
        "INSERT INTO main.job_attempts BY NAME"
        f" SELECT * REPLACE ({LOOSE_PATHS.format('output_paths')} AS output_paths)"
        f" FROM {catalog}.main.job_attempts AS theirs"
        " WHERE NOT EXISTS (SELECT 1 FROM main.job_attempts AS own"
        " WHERE own.attempt_id = theirs.attempt_id)",
    )
    status = (
        "CASE theirs.status::VARCHAR WHEN 'running' THEN 'pending' ELSE theirs.status::VARCHAR END"
    )
    ranked = _ranked(f"{catalog}.main")
    outcome = ", ".join(f"{name} = theirs.{name}" for name in OUTCOME)
    _execute(
        connection,
        f"UPDATE main.jobs SET status = ({status})::job_status_enum, {outcome}"
        f" FROM ({ranked}) AS theirs JOIN united USING (job_id)"
        " WHERE jobs.job_id = theirs.job_id AND united.wins",
    )
    _execute(
        connection,
        "UPDATE main.jobs SET attempts = greatest(jobs.attempts, theirs.attempts),"
        " interruptions = greatest(jobs.interruptions, theirs.interruptions),"
        " created_at = least(jobs.created_at, theirs.created_at),"
        " source = coalesce(jobs.source, theirs.source), params = coalesce(jobs.params, theirs.params)"
        f" FROM {catalog}.main.jobs AS theirs WHERE jobs.job_id = theirs.job_id AND (theirs.attempts"
        " > jobs.attempts OR theirs.interruptions > jobs.interruptions OR theirs.created_at"
        " < jobs.created_at OR (jobs.source IS NULL AND theirs.source IS NOT NULL)"
        " OR (jobs.params IS NULL AND theirs.params IS NOT NULL))",
    )
    added = _execute(
        connection,
        "INSERT INTO main.jobs BY NAME SELECT theirs.* EXCLUDE (rank, finish, tried) REPLACE"
        f" (({status})::job_status_enum AS status, (SELECT coalesce(max(position), 0) FROM main.jobs)"
        " + row_number() OVER (ORDER BY theirs.position, theirs.created_at, theirs.job_id) AS position)"
        f" FROM ({ranked}) AS theirs SEMI JOIN (SELECT job_id FROM united WHERE is_new) AS new"
        " USING (job_id) ORDER BY position",
    )
    # Both sides may have tried a job, each for the first time.
    _execute(
        connection,
        "UPDATE main.jobs SET attempts = tries.number FROM (SELECT job_id, count(*) AS number"
        " FROM main.job_attempts SEMI JOIN united USING (job_id) GROUP BY ALL) AS tries"
        " WHERE jobs.job_id = tries.job_id AND tries.number > jobs.attempts",
    )
    # A pending row in another's place is nothing that somebody would count.
    replaced = _execute(connection, "SELECT count(*) FROM united WHERE wins AND tried <> ''")
    return UnitedJobs(added, replaced, attempts)


def _execute(connection: DuckDBPyConnection, statement: str) -> int:
    return int(connection.execute(statement).fetchall()[0][0])
