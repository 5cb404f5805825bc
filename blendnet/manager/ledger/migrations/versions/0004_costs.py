"""Machines and what they cost, seconds that agents worked for jobs, disk and egress, caps."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "instances",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("provider_id", sa.String(length=200), nullable=False),
        sa.Column("machine", sa.String(length=200), nullable=False),
        sa.Column("zone", sa.String(length=200), nullable=False),
        sa.Column("spot", sa.Boolean(), nullable=False),
        sa.Column("usd_per_hour", sa.Double(), nullable=True),
        sa.Column("price_source", sa.String(length=16), nullable=False),
        sa.Column("price_at", sa.Double(), nullable=True),
        sa.Column("token", sa.String(length=200), nullable=False),
        sa.Column("offers", sa.JSON(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("launched_at", sa.Double(), nullable=True),
        sa.Column("joined_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
    )
    op.create_index(op.f("ix_instances_ended_at"), "instances", ["ended_at"], unique=False)
    op.create_index(op.f("ix_instances_name"), "instances", ["name"], unique=False)
    op.create_table(
        "usage",
        sa.Column("instance_id", ROW_NUMBER, nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_usage_instance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("instance_id", "job_id", "day", name=op.f("pk_usage")),
    )
    op.create_index(op.f("ix_usage_job_id"), "usage", ["job_id"], unique=False)
    op.create_table(
        "meters",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column("usd", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "day", name=op.f("pk_meters")),
    )
    op.add_column("frames", sa.Column("worked_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("cap_usd", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("capped", sa.String(length=8), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("cap_told", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "cap_told")
    op.drop_column("jobs", "capped")
    op.drop_column("jobs", "cap_usd")
    op.drop_column("frames", "worked_s")
    op.drop_table("meters")
    op.drop_index(op.f("ix_usage_job_id"), table_name="usage")
    op.drop_table("usage")
    op.drop_index(op.f("ix_instances_name"), table_name="instances")
    op.drop_index(op.f("ix_instances_ended_at"), table_name="instances")
    op.drop_table("instances")
