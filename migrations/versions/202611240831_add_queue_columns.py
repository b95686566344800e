"""add_queue_columns

Revision ID: 8e42c6d9f0a7
Revises: 5c1f7a0b3d21
Create Date: 2026-11-24 08:31:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "8e42c6d9f0a7"
down_revision = "5c1f7a0b3d21"
branch_labels = None
depends_on = None

COUNTERS = ("attempts", "interruptions")
PLAIN = (
    ("position", sa.BigInteger()),
    ("source", sa.String()),
    ("params", sa.JSON()),
    ("input_size", sa.BigInteger()),
    ("attempts", sa.Integer()),
    ("interruptions", sa.Integer()),
    ("progress", sa.Double()),
    ("run_id", sa.Uuid()),
    ("started_at", sa.DateTime()),
    ("finished_at", sa.DateTime()),
    ("error_type", sa.String()),
    ("code_version", sa.String()),
)


def upgrade() -> None:
    for name, kind in PLAIN:
        default = "0" if name in COUNTERS else None
        op.add_column("jobs", sa.Column(name, kind, server_default=default))
    # DuckDB 1.3 refuses ADD COLUMN with NOT NULL. Positions are given when a session opens the ledger:
    # an UPDATE here would keep later revisions from altering the table in the same transaction.
    for name in COUNTERS:
        op.alter_column("jobs", name, nullable=False)


def downgrade() -> None:
    for name in COUNTERS:
        op.alter_column("jobs", name, nullable=True)
    for name, _ in reversed(PLAIN):
        op.drop_column("jobs", name)
