"""Where machines are: the places of clouds that the fleet has worked in. Whose account they boot and idle on."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("instances", sa.Column("place", sa.String(length=200), nullable=False, server_default=""))
    op.add_column("instances", sa.Column("job", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("usage", sa.Column("boot_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("usage", sa.Column("idle_s", sa.Double(), nullable=False, server_default="0"))
    op.create_table(
        "places",
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=200), nullable=False),
        sa.Column("region", sa.String(length=200), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_places")),
    )


def downgrade() -> None:
    op.drop_table("places")
    op.drop_column("usage", "idle_s")
    op.drop_column("usage", "boot_s")
    op.drop_column("instances", "job")
    op.drop_column("instances", "place")
