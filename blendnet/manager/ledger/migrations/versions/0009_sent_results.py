"""When results came home first: money for that is kept back until then."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("results", sa.Column("sent_at", sa.Double()))
    op.create_index(op.f("ix_results_sent_at"), "results", ["sent_at"])
    # Nobody knows which of those that are there came home: no money is kept back for them.
    op.execute("UPDATE results SET sent_at = 0")


def downgrade() -> None:
    op.drop_index(op.f("ix_results_sent_at"), table_name="results")
    op.drop_column("results", "sent_at")
