"""This package, and what people write by hand on a DuckDB file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks.peers.work import Counts, Loaded, Peer, work


def squared(text: str) -> dict[str, int]:
    return {"square": work(int(text))}


def ours(executor: str) -> Loaded:
    import pandas as pd

    import foregsyte_kaggle as fk

    for name in ("bootstrap", "register_jobs", "run_jobs"):
        getattr(fk, name)  # loads its module, as the import of a peer does

    def run(items: int) -> None:
        fk.pipeline("squared")(squared)
        fk.bootstrap()
        inputs = pd.DataFrame({"id": [str(item) for item in range(items)]})
        fk.register_jobs(inputs, "squared", name="items")
        fk.run_jobs("squared", executor=executor)

    def count() -> Counts:
        jobs = fk.summary_frame().loc["squared"]
        rows = len(fk.results_frame("squared"))
        if rows != jobs["completed"]:
            raise RuntimeError(f"{jobs['completed']} jobs are completed with {rows} results")
        return Counts(rows, int(jobs["failed"]))

    return Loaded(run, count)


def sqlalchemy_commits() -> Loaded:
    """A session that commits each change of a status, as one would write it for a server's database."""
    from sqlalchemy import Integer, String, create_engine, select
    from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "items"
        item = mapped_column(Integer, primary_key=True, autoincrement=False)
        status = mapped_column(String, default="pending")
        square = mapped_column(Integer)

    engine = create_engine("duckdb:///items.duckdb")

    def run(items: int) -> None:
        is_new = not Path("items.duckdb").exists()
        with Session(engine) as session:
            if is_new:
                Base.metadata.create_all(engine, checkfirst=False)  # which duckdb-engine cannot do
                session.add_all(Item(item=item) for item in range(items))
                session.commit()
            waiting = select(Item.item).where(Item.status == "pending")
            for number in session.scalars(waiting).all():
                one = session.get_one(Item, number)
                one.status = "running"
                session.commit()
                try:
                    one.square, one.status = work(number), "completed"
                except ValueError:
                    one.status = "failed"
                session.commit()

    def count() -> Counts:
        with Session(engine) as session:
            found = session.scalars(select(Item.status)).all()
        return Counts(found.count("completed"), found.count("failed"))

    return Loaded(run, count)


def batches_by_hand() -> Loaded:
    import duckdb

    def opened() -> Any:
        connection = duckdb.connect("items.duckdb")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS items (item INTEGER PRIMARY KEY, status VARCHAR, square BIGINT)"
        )
        return connection

    def run(items: int) -> None:
        with opened() as connection:
            connection.execute(
                f"INSERT INTO items SELECT range, 'pending', NULL FROM range({items})"
                " ON CONFLICT DO NOTHING"
            )
            waiting = connection.execute(
                "SELECT item FROM items WHERE status = 'pending' ORDER BY item"
            ).fetchall()
            for first in range(0, len(waiting), 500):
                numbers = [number for (number,) in waiting[first : first + 500]]
                squares = [_or_none(number) for number in numbers]
                connection.execute(
                    "UPDATE items SET square = found.square, status = CASE WHEN found.square IS NULL"
                    " THEN 'failed' ELSE 'completed' END FROM"
                    " (SELECT unnest($1) AS item, unnest($2) AS square) AS found"
                    " WHERE found.item = items.item",
                    [numbers, squares],
                )

    def count() -> Counts:
        with opened() as connection:
            query = "SELECT count(*) FILTER (status = ?) FROM items"
            done, failed = (
                connection.execute(query, [status]).fetchall()[0][0]
                for status in ("completed", "failed")
            )
        return Counts(done, failed)

    return Loaded(run, count)


def _or_none(item: int) -> int | None:
    try:
        return work(item)
    except ValueError:
        return None


PEERS = {
    "foregsyte-threads": Peer("run_jobs on threads", lambda: ours("threads"), speed_share=50),
    "foregsyte-processes": Peer("run_jobs on processes", lambda: ours("processes"), speed_share=50),
    "duckdb-batches": Peer(
        "a hand-written DuckDB loop, a commit for 500 items",
        batches_by_hand,
        "duckdb",
        speed_share=50,
    ),
    "sqlalchemy": Peer(
        "SQLAlchemy on a DuckDB table, a commit for each change of a status",
        sqlalchemy_commits,
        "sqlalchemy",
    ),
}
