"""Warnings of frames; agents that cannot render a chunk."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("frames", sa.Column("warnings", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("chunks", sa.Column("refused_by", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("chunks", "refused_by")
    op.drop_column("frames", "warnings")
