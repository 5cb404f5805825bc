"""How much memory agents have."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

COLUMNS = ("memory_bytes", "render_memory_bytes", "gpu_memory_bytes")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("agents", sa.Column(name, sa.BigInteger()))


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column("agents", name)
