"""create_job_attempts

Revision ID: b7d05e3c9a14
Revises: 8e42c6d9f0a7
Create Date: 2026-11-24 08:32:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "b7d05e3c9a14"
down_revision = "8e42c6d9f0a7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_attempts",
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime()),
        sa.Column("finished_at", sa.DateTime()),
        sa.Column("duration_seconds", sa.Double()),
        sa.Column("error_type", sa.String()),
        sa.Column("error_message", sa.String()),
        sa.Column("traceback", sa.String()),
        sa.Column("output", sa.String()),
        sa.Column("output_paths", sa.JSON()),
        sa.Column("result_rows", sa.BigInteger()),
        sa.Column("worker", sa.String()),
        sa.Column("code_version", sa.String()),
    )


def downgrade() -> None:
    op.drop_table("job_attempts")
