"""add_outputs_from

Revision ID: 3f6b0d81c2e5
Revises: e19a84f27c60
Create Date: 2026-11-26 09:00:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "3f6b0d81c2e5"
down_revision = "e19a84f27c60"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ledger_info", sa.Column("outputs_from", sa.String()))


def downgrade() -> None:
    op.drop_column("ledger_info", "outputs_from")
