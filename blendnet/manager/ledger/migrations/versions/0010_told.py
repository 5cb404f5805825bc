"""When the farm itself wanted machines to end: no later Manager takes those for machines that were taken back."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("instances", sa.Column("told_at", sa.Double()))


def downgrade() -> None:
    op.drop_column("instances", "told_at")
