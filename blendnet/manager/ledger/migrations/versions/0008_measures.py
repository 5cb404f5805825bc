"""What is known of scenes: how long samples take on which machines, how much memory they need. Probes find it out."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("probe", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("agents_max", sa.Integer()))
    op.create_table(
        "measures",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tree", sa.String(length=32), nullable=False),
        sa.Column("scene", sa.Text(), nullable=False),
        sa.Column("blender", sa.String(length=200), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("machine", sa.String(length=255), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("probe", sa.Boolean(), nullable=False),
        sa.Column("measured_at", sa.Double(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("render_s", sa.Double(), nullable=False),
        sa.Column("load_s", sa.Double(), nullable=False),
        sa.Column("loads", sa.Integer(), nullable=False),
        sa.Column("finish_s", sa.Double(), nullable=False),
        sa.Column("finishes", sa.Integer(), nullable=False),
        sa.Column("calls", sa.JSON(), nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_measures")),
        sa.UniqueConstraint(
            "tree",
            "blender",
            "device",
            "width",
            "height",
            "machine",
            "probe",
            name=op.f("uq_measures_tree_blender_device_width_height_machine_probe"),
        ),
    )


def downgrade() -> None:
    op.drop_table("measures")
    op.drop_column("jobs", "agents_max")
    op.drop_column("jobs", "probe")
