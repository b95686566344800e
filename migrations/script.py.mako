"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
# DuckDB types only: sa.Uuid, sa.Enum, sa.DateTime, sa.Double, sa.BigInteger and sa.JSON render as
# DuckDB's own. Keep this file's own copy of what it touches; import no models.
# All pending revisions run in one transaction, in which DuckDB before 2.0 cannot alter a table after an
# UPDATE or DELETE of it: change tables here, and fill old rows where a session opens the ledger.

revision = ${repr(up_revision).replace("'", '"')}
down_revision = ${repr(down_revision).replace("'", '"')}
branch_labels = ${repr(branch_labels).replace("'", '"')}
depends_on = ${repr(depends_on).replace("'", '"')}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
