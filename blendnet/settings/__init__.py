"""The only reader of environment variables and of the files that say where a farm is. Other code gets plain values."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from blendnet.settings.clouds import Clouds

MIB = 1 << 20
GIB = 1 << 30

FARM_FILE = "farm.json"
"""In the data folder while a farm runs: where its API, broker and credentials are."""


BLENDER_ORG = "https://download.blender.org/release"
"""Where blender.org publishes archives of its releases, with their hashes."""


def default_data_dir() -> Path:
    """Folder of the user's own farm: $XDG_DATA_HOME/blendnet/farm."""
    return _user_data_home() / "blendnet" / "farm"


def default_blenders_dir() -> Path:
    """Folder of the Blender builds BlendNet installed: $XDG_DATA_HOME/blendnet/blenders."""
    return _user_data_home() / "blendnet" / "blenders"


def default_agent_dir() -> Path:
    """Folder of an agent of another machine's farm: $XDG_DATA_HOME/blendnet/agent."""
    return _user_data_home() / "blendnet" / "agent"


def _user_data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


class Settings(Clouds):
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
    worker_bundle: Path | None = None
    """What `make bundle` made: fresh machines may fetch it from the Manager, without login. None: they may not."""
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

    store_url: str = ""
    """Where blobs live: empty: in the data folder; s3://BUCKET/PREFIX or gs://BUCKET/PREFIX (docs/storage.md)."""
    store_cache_bytes: int = 20 * GIB
    """With a bucket: limit of the copies of blobs that the Manager keeps in its data folder."""
    store_link_s: float = Field(default=900.0, ge=1, le=7 * 86_400)
    """With a bucket: how long the addresses are valid under which clients and agents fetch and send blobs."""
    store_direct_bytes: int = Field(default=8 * MIB, ge=0)
    """With a bucket: agents put files from this size on straight into it; 0: all go through the Manager."""
    store_reserve_bytes: int = 64 * MIB
    """With less left on the store's disk no work is handed out: what is under way needs the rest."""
    store_limit_bytes: int = 0
    """Above this size the store loses the oldest ended jobs' segments, then those jobs; 0: no limit."""
    job_keep_s: float = 0.0
    """Jobs that ended longer ago are removed; 0: never."""

    # Money
    agent_usd_per_hour: float | None = Field(default=None, ge=0)
    """What an agent on a machine of your own costs, as for electricity; None: nobody knows, and no cost is shown."""
    cap_day_usd: float = Field(default=0.0, ge=0)
    """Most that everything may cost from midnight to midnight (UTC); 0: no cap."""
    cap_farm_usd: float = Field(default=0.0, ge=0)
    """Most that everything may ever cost; 0: no cap."""
    disk_usd_per_gb_month: float = Field(default=0.0, ge=0)
    disk_gb: float = Field(default=0.0, ge=0)
    """Size of the Manager's disk that is paid for; 0: as much as its files take."""
    egress_usd_per_gb: float | None = Field(default=None, ge=0)
    """Price of files that owners fetch, and of what agents send out of a cloud; None: what estimates assume of traffic
    out of a cloud, and 0 for what leaves a Manager that is in none."""

    # Agents on other machines
    listen: str = ""
    """Address on which other machines reach the API and Redis, both over TLS; empty: this machine only."""
    public_addresses: str = ""
    """Names and addresses under which they know this machine, separated by commas, the best one first; besides those it
    has itself."""
    broker_port: int = 0
    """Redis's port for them. 0 here, and as `api_port`: any free one, and the same one again at the next start."""
    join_token_s: float = Field(default=3600.0, gt=0)
    """How long a token to join is good when nobody says otherwise."""
    agent_certificate_s: float = Field(default=86_400.0, gt=0)
    """Lifetime of an agent's certificate; it is renewed after half of it."""

    # Fleet: machines that come and go by themselves (docs/scaling.md)
    fleet_provider: str = ""
    """Who gives them: 'local' (processes on this machine) or a cloud; empty: agents are started and ended by hand."""
    fleet_machines: str = ""
    """Machine types that may be asked for, separated by commas; empty: the cheapest per vCPU of usual sizes."""
    fleet_zones: str = ""
    """Zones that may be asked for, separated by commas; empty: wherever the cloud has them."""
    fleet_memory_bytes: int = 8 * GIB
    """Machines that nobody named have at least so much."""
    fleet_poll_s: float = Field(default=10.0, gt=0)
    """The provider is asked for its machines so often."""
    fleet_quota_s: float = Field(default=600.0, gt=0)
    """The provider is asked so often how much the account may have."""
    fleet_end_delay_s: float = Field(default=180.0, ge=0)
    """An ended machine is confirmed gone after so long at the latest."""
    fleet_min: int = Field(default=0, ge=0)
    """Machines that stay although there is nothing to do."""
    fleet_max: int = Field(default=8, ge=0)
    """Most machines at once; one that is being ended counts until it is gone."""
    fleet_idle_s: float = Field(default=300.0, ge=0)
    """A machine that had nothing to do for so long is ended."""
    fleet_boot_s: float = Field(default=120.0, gt=0)
    """From the request for a machine until its agent joins, while nothing is measured."""
    fleet_boot_limit_s: float = Field(default=900.0, gt=0)
    """A machine that has not joined by then is replaced."""
    fleet_silent_limit_s: float = Field(default=300.0, ge=0)
    """A machine whose agent has not been heard of for so long is replaced."""
    fleet_on_demand: Literal["never", "fallback", "always"] = "fallback"
    """Machines at the full price: never, when no spot machine is to be had, or always."""
    fleet_first: int = Field(default=1, ge=1)
    """Machines asked for while nobody knows how long the work takes: they measure it."""
    fleet_spread: int = Field(default=3, ge=1)
    """Pools (type, zone) over which machines are spread, so that one shortage does not take all."""
    fleet_useful_s: float = Field(default=300.0, ge=0)
    """Under a cap, a machine is only asked for when the money lets it work so long after its boot."""
    fleet_price_age_s: float = Field(default=7 * 86_400.0, gt=0)
    """A price that was looked up longer ago counts as unknown."""
    fleet_prefer: Literal["cost", "time"] = "cost"
    """Where a second of work is cheapest, or where it is done fastest."""
    fleet_worth: float = Field(default=1.0, gt=0)
    """A machine is only added when it will work at least so many times as long as it boots."""
    fleet_unknown_prices: bool = False
    """Also ask for machines whose price nobody knows. Never while a cap is set."""
    fleet_price_max_usd: float | None = Field(default=None, gt=0)
    """Most dollars per hour for one machine; None: any."""
    fleet_lifetime_s: float = Field(default=86_400.0, gt=0)
    """The cloud itself, or a timer of the machine, ends a machine after so long."""

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
    probe_kept_s: float = Field(default=600.0, ge=0)
    """A probe is removed so long after its end: a job of the same scene that follows need not send its files again."""
    probe_limit_s: float = Field(default=3600.0, gt=0)
    """A probe that has not ended so long after its start is canceled: no list shows it, and machines wait for it."""
    blender_memory_bytes: int = 0
    """Most memory of one Blender (Linux); 0: what there is."""
    blender_network: bool = False
    """Blender may use the network; else it may not, where the system can prevent it (Linux)."""
    blender_fetch: bool = False
    """An agent that is given work for a Blender that it lacks installs it; on in the worker image."""
    blender_mirror: str = BLENDER_ORG
    """Where archives of Blender are fetched from: blender.org's releases, or a copy of that folder."""
    heard_file: Path | None = None
    """A file that an agent touches whenever the Manager answers its report: its machine may end itself without."""
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
    manager_certificate: Path | None = None
    """Certificate (PEM) of this agent, its login in place of a password; read again when it is renewed."""
    manager_key: Path | None = None
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0

    # Broker
    broker_url: str = ""
    """Celery's broker and result backend; empty: the broker of the farm that runs on `data`."""
    broker_user: str = ""
    """User at Redis; empty: that of the farm that runs on `data`, if it has one. Never in the URL: URLs are shown."""
    broker_password_file: Path | None = None


@dataclass(frozen=True)
class BrokerLogin:
    """Who to be at Redis."""

    user: str
    password_file: Path
    agent: str = ""
    """Name of the agent; '': no agent."""
    ca: Path | None = None
    """Over TLS: the CA that alone is trusted."""
    certificate: Path | None = None
    key: Path | None = None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()


def unknown_variables() -> list[str]:
    """Environment variables that begin as settings do and are none."""
    known = {f"BLENDNET_{name.upper()}" for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith("BLENDNET_") and name not in known)


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


def resolve_broker_login(settings: Settings) -> BrokerLogin | None:
    """Who to be at that broker; None where nobody has to say: a farm for one machine."""
    user, password_file = settings.broker_user, settings.broker_password_file
    if not settings.broker_url:
        farm = read_farm_file(settings.data) or {}
        user, password_file = str(farm.get("broker_user", "")), Path(str(farm.get("broker_password_file", "")))
    if not user or password_file is None:
        return None
    return BrokerLogin(
        user,
        password_file,
        settings.agent_name,
        settings.manager_ca,
        settings.manager_certificate,
        settings.manager_key,
    )


def resolve_ledger_url(settings: Settings) -> str:
    """The ledger's database: the one set, else SQLite in the data folder."""
    return settings.ledger_url or f"sqlite:///{settings.data / 'ledger.sqlite'}"


def store_folder(settings: Settings) -> Path:
    """Where the Manager keeps blobs, or with a bucket its copies of them."""
    return settings.data / "store"


def without_cloud_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that has no business with anybody's cloud account."""
    return {name: value for name, value in environment.items() if not name.startswith(_CLOUD_KEYS)}


_CLOUD_KEYS = (
    *("AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_", "GCE_", "DIGITALOCEAN_", "LINODE_", "OS_", "SCW_", "VULTR_"),
    *("BLENDNET_CLOUD_", "BLENDNET_STORE_", "BLENDNET_LEDGER_URL", "BLENDNET_OWNER_"),
)


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
