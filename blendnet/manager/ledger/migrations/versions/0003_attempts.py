"""Attempts that ended without success; interruptions of jobs; agents set aside."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("frame_id", sa.String(length=64), nullable=True),
        sa.Column("chunk_id", sa.String(length=64), nullable=True),
        sa.Column("work", sa.String(length=16), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunks.id"], name=op.f("fk_attempts_chunk_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["frame_id"], ["frames.id"], name=op.f("fk_attempts_frame_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index(op.f("ix_attempts_chunk_id"), "attempts", ["chunk_id"], unique=False)
    op.create_index(op.f("ix_attempts_frame_id"), "attempts", ["frame_id"], unique=False)
    op.create_index(op.f("ix_attempts_job_id_id"), "attempts", ["job_id", "id"], unique=False)
    op.add_column("jobs", sa.Column("interrupted", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("agents", sa.Column("failing", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("agents", sa.Column("aside", sa.Text(), nullable=False, server_default=""))
    op.add_column("agents", sa.Column("aside_until", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("agents", "aside_until")
    op.drop_column("agents", "aside")
    op.drop_column("agents", "failing")
    op.drop_column("jobs", "interrupted")
    op.drop_index(op.f("ix_attempts_job_id_id"), table_name="attempts")
    op.drop_index(op.f("ix_attempts_frame_id"), table_name="attempts")
    op.drop_index(op.f("ix_attempts_chunk_id"), table_name="attempts")
    op.drop_table("attempts")
