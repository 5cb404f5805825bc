"""The tables of the ledger as SQLAlchemy knows them. Migrations create them; a test compares the two."""

from __future__ import annotations

import enum

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from blendnet.models import Exactness, Stage, State, Strategy, Work

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = String(64)
Sha = String(64)
RowNumber = BigInteger().with_variant(Integer, "sqlite")


def word(kind: type[enum.Enum]) -> Enum:
    """A column that holds a member of `kind` by its value, as plain text."""
    return Enum(kind, native_enum=False, length=16, values_callable=lambda members: [m.value for m in members])


def _lease() -> list[Column]:
    """Columns of what one worker at a time does: fencing token, holder, end of lease, failures, when it is due."""
    return [
        Column("token", Integer, nullable=False, default=0),
        Column("agent", String(200)),
        Column("lease_until", Double),
        Column("failures", Integer, nullable=False, default=0),
        Column("due_at", Double),
    ]


jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("state", word(State), nullable=False, index=True),
    Column("priority", Integer, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("scene", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("blender", String(200), nullable=False),
    Column("device", String(64), nullable=False),
    Column("allow_scripts", Boolean, nullable=False),
    Column("resolution_percentage", Integer),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("chunk_samples", Integer),
    Column("minimum_chunk", Integer, nullable=False),
    Column("layers", JSON, nullable=False),
    Column("merge_only", JSON, nullable=False),
    Column("strategy", word(Strategy), nullable=False),
    Column("strategy_reason", Text, nullable=False),
    Column("exactness", word(Exactness), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("one_call", Boolean, nullable=False),
    Column("adaptive", Boolean, nullable=False),
    Column("movie", Boolean, nullable=False),
    Column("output_name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("frames_total", Integer, nullable=False),
    Column("frames_completed", Integer, nullable=False, default=0),
    Column("frames_failed", Integer, nullable=False, default=0),
    Column("samples_total", BigInteger, nullable=False),
    Column("samples_done", BigInteger, nullable=False, default=0),
    Column("chunks_total", Integer, nullable=False),
    Column("chunks_completed", Integer, nullable=False, default=0),
    Column("redelivered", Integer, nullable=False, default=0),
    Column("render_s", Double, nullable=False, default=0.0),
    Column("render_samples", BigInteger, nullable=False, default=0),
    Column("load_s", Double, nullable=False, default=0.0),
    Column("loads", Integer, nullable=False, default=0),
    Column("encode", Boolean, nullable=False, default=False),
    Column("interrupted", Integer, nullable=False, default=0),
    Column("cap_usd", Double),
    Column("capped", String(8), nullable=False, default=""),
    Column("cap_told", Double),
    Column("probe", Boolean, nullable=False, default=False, server_default=false()),
    Column("agents_max", Integer),
    *_lease(),
)

frames = Table(
    "frames",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", word(State), nullable=False),
    Column("stage", word(Stage), nullable=False),
    Column("samples", Integer, nullable=False),
    Column("done", Integer, nullable=False, default=0),
    Column("chunks", Integer, nullable=False),
    Column("segments", Integer, nullable=False, default=0),
    Column("preview_samples", Integer, nullable=False, default=0),
    Column("message", Text, nullable=False, default=""),
    Column("epoch", Integer, nullable=False, default=0),
    Column("called_back", Boolean, nullable=False, default=False),
    Column("start_over", Boolean, nullable=False, default=False),
    Column("merged", Sha, ForeignKey("blobs.sha256")),
    Column("warnings", JSON, nullable=False, default=list),
    Column("worked_s", Double, nullable=False, default=0.0),
    *_lease(),
    UniqueConstraint("job_id", "position"),
    UniqueConstraint("job_id", "number"),
    Index(None, "state", "stage"),
    Index(None, "job_id", "state", "position"),
    Index(None, "merged"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("frame_id", Id, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("state", word(State), nullable=False),
    Column("done", Integer, nullable=False, default=0),
    Column("rendered", Integer, nullable=False, default=0),
    Column("token", Integer, nullable=False, default=0),
    Column("agent", String(200)),
    Column("lease_until", Double),
    Column("lost", Boolean, nullable=False, default=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("failed_on", JSON, nullable=False),
    Column("refused_by", JSON, nullable=False, default=list),
    Column("queued_at", Double),
    Column("message", Text, nullable=False, default=""),
    Column("preview_path", Text),
    Column("preview_samples", Integer, nullable=False, default=0),
    UniqueConstraint("frame_id", "offset"),
    Index(None, "state", "job_id"),
    Index(None, "state", "queued_at"),
    Index(None, "job_id"),
)

segments = Table(
    "segments",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("frame_id", Id, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False),
    Column("chunk_id", Id, ForeignKey("chunks.id", ondelete="CASCADE"), nullable=False),
    Column("offset", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("sha256", Sha, ForeignKey("blobs.sha256"), nullable=False, index=True),
    Column("token", Integer, nullable=False),
    Column("agent", String(200)),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("frame_id", "offset"),
    Index(None, "chunk_id"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("frame_id", Id, ForeignKey("frames.id", ondelete="CASCADE")),
    Column("chunk_id", Id, ForeignKey("chunks.id", ondelete="CASCADE")),
    Column("work", word(Work), nullable=False),
    Column("token", Integer, nullable=False),
    Column("agent", String(200)),
    Column("ended_at", Double, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("log", Text, nullable=False, default=""),
    Column("peak_memory_bytes", BigInteger),
    Column("progress", Text, nullable=False, default=""),
    Index(None, "job_id", "id"),
    Index(None, "frame_id"),
    Index(None, "chunk_id"),
)

agents = Table(
    "agents",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("host", String(255), nullable=False, default=""),
    Column("pid", Integer),
    Column("blender_pid", Integer),
    Column("blenders", JSON, nullable=False),
    Column("devices", JSON, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("failing", JSON, nullable=False, default=list),
    Column("aside", Text, nullable=False, default=""),
    Column("aside_until", Double),
    Column("memory_bytes", BigInteger),
    Column("render_memory_bytes", BigInteger),
    Column("gpu_memory_bytes", BigInteger),
)

measures = Table(
    "measures",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("tree", String(32), nullable=False),
    Column("scene", Text, nullable=False),
    Column("blender", String(200), nullable=False),
    Column("device", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("machine", String(255), nullable=False),
    # No reference: what a job has measured stays known when the job is removed.
    Column("job_id", Id, nullable=False),
    Column("probe", Boolean, nullable=False),
    Column("measured_at", Double, nullable=False),
    Column("samples", BigInteger, nullable=False, default=0),
    Column("render_s", Double, nullable=False, default=0.0),
    Column("load_s", Double, nullable=False, default=0.0),
    Column("loads", Integer, nullable=False, default=0),
    Column("finish_s", Double, nullable=False, default=0.0),
    Column("finishes", Integer, nullable=False, default=0),
    Column("calls", JSON, nullable=False, default=list),
    Column("peak_memory_bytes", BigInteger),
    UniqueConstraint("tree", "blender", "device", "width", "height", "machine", "probe"),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("hash", Sha, primary_key=True),
    Column("name", String(200), nullable=False, default=""),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double),
    Column("used_by", String(200), nullable=False, default=""),
)

members = Table(
    "members",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("key_hash", Sha, nullable=False),
    Column("broker_hash", Sha, nullable=False),
    Column("joined_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double),
)

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", Sha, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("noted_at", Double, nullable=False),
)

job_files = Table(
    "job_files",
    metadata,
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("sha256", Sha, ForeignKey("blobs.sha256"), nullable=False, index=True),
)

results = Table(
    "results",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("frame_id", Id, ForeignKey("frames.id", ondelete="CASCADE")),
    Column("position", Integer),
    Column("frame", Integer),
    Column("kind", String(16), nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", Sha, ForeignKey("blobs.sha256"), nullable=False, index=True),
    Column("sent_at", Double),
    UniqueConstraint("job_id", "kind", "path"),
    Index(None, "frame_id"),
    Index(None, "sent_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("time", Double, nullable=False),
    Column("level", String(16), nullable=False),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("frame", Integer),
    Column("chunk", Id),
    Column("agent", String(200)),
    Column("text", Text, nullable=False),
    Index(None, "job_id", "id"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("provider", String(64), nullable=False),
    Column("place", String(200), nullable=False, default="", server_default=""),
    Column("job", Id, nullable=False, default="", server_default=""),
    Column("name", String(200), nullable=False),
    Column("provider_id", String(200), nullable=False, default=""),
    Column("machine", String(200), nullable=False, default=""),
    Column("zone", String(200), nullable=False, default=""),
    Column("spot", Boolean, nullable=False, default=False),
    Column("usd_per_hour", Double),
    Column("price_source", String(16), nullable=False, default=""),
    Column("price_at", Double),
    Column("token", String(200), nullable=False, default=""),
    Column("offers", JSON, nullable=False, default=list),
    Column("asked_at", Double, nullable=False),
    Column("launched_at", Double),
    Column("joined_at", Double),
    Column("told_at", Double),
    Column("ended_at", Double),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Index(None, "ended_at"),
    Index(None, "name"),
)

places = Table(
    "places",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("provider", String(64), nullable=False),
    Column("place", String(200), nullable=False),
    Column("region", String(200), nullable=False),
    Column("options", JSON, nullable=False),
    Column("used_at", Double, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("instance_id", RowNumber, ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True),
    # No reference: what a job has cost stays known when the job is removed.
    Column("job_id", Id, primary_key=True, index=True),
    Column("day", String(10), primary_key=True),
    Column("seconds", Double, nullable=False),
    Column("boot_s", Double, nullable=False, default=0.0, server_default="0"),
    Column("idle_s", Double, nullable=False, default=0.0, server_default="0"),
)

meters = Table(
    "meters",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("amount", Double, nullable=False),
    Column("usd", Double, nullable=False, default=0.0),
)
