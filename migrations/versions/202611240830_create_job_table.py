"""create_job_table

Revision ID: 5c1f7a0b3d21
Revises:
Create Date: 2026-11-24 08:30:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "5c1f7a0b3d21"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Uuid(), primary_key=True, nullable=False),
        sa.Column(
            "status",
            sa.Enum("pending", "running", "completed", "failed", name="job_status_enum"),
            nullable=False,
        ),
        sa.Column("pipeline_id", sa.String(), nullable=False),
        sa.Column("input_path", sa.String(), nullable=False),
        sa.Column("output_path", sa.String(), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("jobs")
    op.execute("DROP TYPE job_status_enum")
