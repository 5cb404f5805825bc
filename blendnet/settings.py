"""The only reader of environment variables and of the files that say where a farm is. Other code gets plain values."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1 << 20
GIB = 1 << 30

FARM_FILE = "farm.json"
"""In the data folder while a farm runs: where its API, broker and credentials are."""


def default_data_dir() -> Path:
    """Folder of the user's own farm: $XDG_DATA_HOME/blendnet/farm."""
    return _user_data_home() / "blendnet" / "farm"


def default_blenders_dir() -> Path:
    """Folder of the Blender builds BlendNet installed: $XDG_DATA_HOME/blendnet/blenders."""
    return _user_data_home() / "blendnet" / "blenders"


def _user_data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


class Settings(BaseSettings):
    """Every knob, with its unit. Each is read from the environment as BLENDNET_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="BLENDNET_", frozen=True, extra="ignore")

    data: Path = Field(default_factory=default_data_dir)
    """Data folder of the farm: ledger, store, CA, logs."""
    blenders_dir: Path = Field(default_factory=default_blenders_dir)
    """Where Blender builds are installed, one folder each."""
    blender: str = "4.5"
    """Blender to render with when nothing else is asked for: version prefix or path."""
    log_level: str = "INFO"

    # Manager
    ledger_url: str = ""
    """SQLAlchemy URL of the ledger; empty: SQLite in the data folder."""
    api_host: str = "127.0.0.1"
    api_port: int = 0
    """0: any free port."""
    max_json_bytes: int = 32 * MIB
    """Largest JSON body the API reads."""
    max_blob_bytes: int = 1024 * GIB
    """Largest single file of a job."""
    max_segment_bytes: int = 64 * GIB
    request_idle_timeout_s: float = 30.0
    """A client that sends nothing for so long while it owes a body is cut off."""
    reconcile_interval_s: float = 1.0
    chord_grace_s: float = 3.0
    """How long a covered frame waits for its chord before the ledger starts the merge itself."""
    lost_message_s: float = 5.0
    """A message that nobody has taken up for so long is looked for in the queues."""
    missing_message_s: float = 2.0
    """A chunk's message that is in none is published again if it still is in none after so long: an agent may have
    taken it just before, and be on its way to claim the chunk."""
    window_chunks_per_slot: int = 2
    """Chunks kept queued for each agent slot."""
    max_attempts: int = 3
    """Failed attempts (not interruptions) after which a chunk, merge or finish is given up."""
    disk_patience_s: float = 600.0
    """So long may attempts at the same work fail because the disks of agents are full before such failures count."""
    merge_stall_s: float = 120.0
    """A merge that reads nothing for so long is ended, and counted as failed."""
    control_silence_s: float = 60.0
    """The control worker is started anew when merges wait for so long and it begins none."""
    max_events_per_job: int = 20_000
    attempts_kept_per_job: int = 2_000
    """Attempts that ended without success of which a job keeps the newest."""
    aside_after_failures: int = 3
    """An agent on which so many attempts in a row fail, while others do better, is set aside."""
    aside_s: float = 900.0
    """How long an agent that is set aside gets no work."""

    store_reserve_bytes: int = 64 * MIB
    """With less left on the store's disk no work is handed out: what is under way needs the rest."""
    store_limit_bytes: int = 0
    """Above this size the store loses the oldest ended jobs' segments, then those jobs; 0: no limit."""
    job_keep_s: float = 0.0
    """Jobs that ended longer ago are removed; 0: never."""

    # Leases and cadence
    lease_s: float = 10.0
    """An attempt whose agent says nothing for so long loses its lease."""
    preview_interval_s: float = 5.0
    segment_interval_s: float = 60.0
    """Longest time between two segments of a chunk; where agents are often lost without notice it is shorter."""
    sub_pass_s: float = 5.0
    """Target time of one render call."""
    visibility_timeout_s: int = 43_200
    """Redis: an unacknowledged message is delivered again after so long; the last resort only."""

    # Agent
    agent_name: str = ""
    agent_dir: Path | None = None
    """Folder of one agent: workspaces, sub-pass files."""
    blob_cache_dir: Path | None = None
    """Cache of blobs shared by the agents of one machine."""
    blob_cache_bytes: int = 50 * GIB
    """Least recently used blobs above this size are dropped from the cache."""
    local_store_dir: Path | None = None
    """The Manager's own blob folder when it is on this machine: blobs are linked, not copied."""
    blender_start_timeout_s: float = 120.0
    blender_open_timeout_s: float = 1800.0
    blender_render_timeout_s: float = 4 * 3600.0
    """Hard limit of one render call."""
    blender_stall_s: float = 600.0
    """A Blender that neither says anything nor uses processor time for so long is ended."""
    blender_memory_bytes: int = 0
    """Most memory of one Blender (Linux); 0: what there is."""
    chunk_timeout_s: float = 24 * 3600.0
    """Hard limit of one attempt at a chunk."""
    blender_threads: int = 0
    """Threads of one Blender; 0: all cores."""

    # Preemption notices
    notice: Literal["", "aws", "gcp", "azure"] = ""
    """Cloud whose metadata service announces that this machine is taken back; empty: none."""
    notice_url: str = ""
    """Address of that service, 'http://host:port'; empty: the cloud's own."""
    notice_poll_s: float = Field(default=5.0, gt=0)
    """Seconds between two questions to AWS or Azure; Google's service answers when something changes."""
    notice_file: Path | None = None
    """A file whose appearance is a notice; it may hold the seconds that are left."""
    notice_s: float = Field(default=30.0, ge=0)
    """Seconds that are left when a notice does not say: Google's, a signal, an empty file."""
    notice_rebalance: Literal["drain", "ignore"] = "drain"
    """On AWS's rebalance recommendation end after the running chunk, or go on until the notice itself."""

    # Planner
    chunk_samples: int = 100
    """Samples of a chunk when nothing is measured yet."""
    chunk_time_max_s: float = 1800.0
    """A chunk is planned to take no longer than this."""
    load_share_max: float = 0.1
    """Load time is planned to be at most this share of a chunk's time."""
    max_chunks_per_frame: int = 1000
    tail_worth_s: float = 2.0
    """A running chunk is divided among idle agents when it is done so many seconds sooner by that."""

    # Connection to the Manager (agents, command line against a distant Manager)
    manager_url: str = ""
    manager_ca: Path | None = None
    """CA certificate (PEM) that alone is trusted for the Manager."""
    manager_user: str = ""
    manager_password_file: Path | None = None
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0

    # Clouds
    gcp_endpoint: str = ""
    """Address of all of Google's APIs, for tests: 'http://127.0.0.1:port' of a fake, which gets no credentials."""

    # Broker
    broker_url: str = ""
    """Celery's broker and result backend; empty: the broker of the farm that runs on `data`."""


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()


def read_farm_file(data: Path) -> dict[str, object] | None:
    """Content of a data folder's farm file (manager/folder.py says what is in it); None when no farm left one."""
    try:
        return json.loads((data / FARM_FILE).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def resolve_broker_url(settings: Settings) -> str:
    """The broker to talk to: the one set, else the one of the farm running on the data folder, else ''."""
    if settings.broker_url:
        return settings.broker_url
    farm = read_farm_file(settings.data) or {}
    return str(farm.get("broker_url", ""))


def resolve_ledger_url(settings: Settings) -> str:
    """The ledger's database: the one set, else SQLite in the data folder."""
    return settings.ledger_url or f"sqlite:///{settings.data / 'ledger.sqlite'}"


def store_folder(settings: Settings) -> Path:
    """Where the Manager keeps blobs."""
    return settings.data / "store"


def cloud_variable(*names: str) -> str:
    """What a cloud's own variable says, as in 'GOOGLE_CLOUD_PROJECT': the first of `names` that is set, else ''."""
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")


def clean_environment(**extra: str) -> dict[str, str]:
    """Environment for a foreign program such as Blender: what it needs to run, nothing that could hold a secret."""
    keep = (
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "TZ",
        "LD_LIBRARY_PATH",
        "DISPLAY",
        "XDG_RUNTIME_DIR",
        "CUDA_VISIBLE_DEVICES",
    )
    return {k: v for k in keep if (v := os.environ.get(k))} | extra
