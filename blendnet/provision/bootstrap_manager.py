"""PURE: the user data (cloud-init) by which a stock Debian 12 becomes the Manager's machine. It knows no cloud.

What it holds: addresses, limits and the hash of the owner's password. No password, no key, no lasting secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from blendnet.errors import UserError
from blendnet.provision.cloud_init import NAME, cloud_config, environment_file, match
from blendnet.provision.stock import ARCHIVE, LASTING_COMMANDS, Bundle, check_bundle, lasting_files

MANAGER_FILE = "/etc/blendnet/manager.env"
"""Read by blendnet-manager.service and blendnet-data.service."""
MANAGER_UNIT = "blendnet-manager.service"
API_PORT = 443
BROKER_PORT = 6380
"""Of Redis when nobody names another: in every cloud, and in docs/clouds.md."""
DATA_DISK = "DATA_DISK"
"""Variable for blendnet-data.service: glob of the lasting disk's device."""

HASH = re.compile(r"\$argon2id\$[A-Za-z0-9$,=+/]{20,400}")
DEVICE = re.compile(r"/dev/[A-Za-z0-9/_.*?-]{1,200}")
BUCKET = re.compile(r"(s3|gs)://[a-z0-9][a-z0-9._-]{1,220}")
_SETTING = re.compile(r"BLENDNET_[A-Z0-9_]{1,60}")
CHOSEN_HERE = frozenset({"BLENDNET_DATA", "BLENDNET_LISTEN", "BLENDNET_API_PORT", "BLENDNET_OWNER_HASH"})
"""Settings that the user may not give: the machine would not work with others."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the Manager will be, as its cloud's part of BlendNet says."""

    cloud: str
    """Name of the provider: it gives the Manager's agents, and its metadata service knows the machine's address."""
    region: str
    bucket: str
    """'s3://NAME' or 'gs://NAME': the farm's own."""
    disk: str
    """Glob of the lasting disk's device, as '/dev/disk/by-id/google-blendnet-data'. It may fit other disks: only the
    one with BlendNet's file system is taken, else the only one that is empty."""
    machine: str
    """Machine type of a Manager when nobody names one."""
    broker_port: int = BROKER_PORT
    """That the firewall opens to agents."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options (Place.options) for the provider on the Manager's machine: those of the user that make sense there."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the cloud's SDK wants there, as AWS_REGION. Nothing secret."""


def manager_user_data(
    site: Site, *, farm: str, owner_hash: str, bundle: Bundle, settings: Mapping[str, str] | None = None
) -> str:
    """The user data of the Manager's machine.

    `farm`: label of everything that is the farm's. `owner_hash`: argon2id hash of the password of the user `owner`.
    `settings`: BLENDNET_... for the Manager (caps, most machines, idle limit, ...), over the defaults.
    Raises UserError when something in it cannot be right, or all together is too long.
    """
    _check(site, farm, owner_hash)
    check_bundle(bundle)
    files = [environment_file(MANAGER_FILE, environment(site, farm, owner_hash, settings or {}), "0600")]
    # The bundle is kept: the Manager gives it to the stock machines of its agents.
    files += lasting_files(bundle, MANAGER_UNIT, "--manager")
    return cloud_config(files, LASTING_COMMANDS, whose="the Manager")


def environment(site: Site, farm: str, owner_hash: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The Manager's variables. Raises UserError for a setting that is none, or not the user's to choose. PURE."""
    for name in settings:
        match(_SETTING, name, "is no setting: BLENDNET_...")
        if name in CHOSEN_HERE:
            raise UserError(f"{name} of a Manager in the cloud is not yours to choose")
    return {
        DATA_DISK: site.disk,
        "BLENDNET_FARM_LABEL": farm,
        "BLENDNET_LISTEN": "0.0.0.0",
        "BLENDNET_API_PORT": str(API_PORT),
        "BLENDNET_BROKER_PORT": str(site.broker_port),
        "BLENDNET_MANAGER_CLOUD": site.cloud,
        "BLENDNET_MANAGER_BUCKET": site.bucket,
        "BLENDNET_STORE_URL": f"{site.bucket}/store",
        "BLENDNET_FLEET_PROVIDER": site.cloud,
        "BLENDNET_CLOUD_PROVIDER": site.cloud,
        "BLENDNET_CLOUD_REGION": site.region,
        "BLENDNET_CLOUD_OPTIONS": _options(site.options),
        "BLENDNET_WORKER_BUNDLE": ARCHIVE,
        **site.environment,
        **settings,
        "BLENDNET_OWNER_HASH": owner_hash,
    }


def _check(site: Site, farm: str, owner_hash: str) -> None:
    match(NAME, farm, "is no label of a farm")
    match(NAME, site.cloud, "is no name of a provider")
    match(HASH, owner_hash, "is no argon2id hash", shown="what was given for the owner's password")
    match(DEVICE, site.disk, "is no device: /dev/...")
    match(BUCKET, site.bucket, "is no bucket: s3://NAME or gs://NAME")
    if not 0 < site.broker_port < 1 << 16 or site.broker_port == API_PORT:
        raise UserError(f"port {site.broker_port} is none that Redis can have")


def _options(options: Mapping[str, str]) -> str:
    """As the setting cloud_options holds them. Raises UserError for a value that would become several."""
    for name, value in options.items():
        if ";" in value:
            raise UserError(f"option {name}: a value with ';' cannot be given to a Manager in the cloud")
    return "; ".join(f"{name}={value}" for name, value in options.items())
