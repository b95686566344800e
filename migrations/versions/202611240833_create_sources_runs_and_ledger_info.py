"""create_sources_runs_and_ledger_info

Revision ID: e19a84f27c60
Revises: b7d05e3c9a14
Create Date: 2026-11-24 08:33:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "e19a84f27c60"
down_revision = "b7d05e3c9a14"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("name", sa.String(), primary_key=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("root", sa.String()),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Uuid(), primary_key=True, nullable=False),
        sa.Column("pipeline_id", sa.String()),
        sa.Column("executor", sa.String(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime()),
        sa.Column("ended_by", sa.String()),
        sa.Column("completed", sa.BigInteger()),
        sa.Column("failed", sa.BigInteger()),
        sa.Column("environment", sa.JSON()),
        sa.Column("package_version", sa.String()),
    )
    op.create_table(
        "ledger_info",
        sa.Column("session_id", sa.Uuid(), primary_key=True, nullable=False),
        sa.Column("ledger_id", sa.Uuid(), nullable=False),
        sa.Column("parent_session_id", sa.Uuid()),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(), nullable=False),
        sa.Column("package_version", sa.String()),
        sa.Column("duckdb_version", sa.String()),
    )


def downgrade() -> None:
    op.drop_table("ledger_info")
    op.drop_table("runs")
    op.drop_table("sources")
