"""Where on Google Cloud a farm works, and how what belongs to it is named. Asks nobody."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from blendnet.errors import UserError
from blendnet.provision.base import Place
from blendnet.provision.bootstrap_manager import API_PORT, BROKER_PORT
from blendnet.settings import cloud_variable, get_settings

FARM_LABEL = "blendnet-farm"
ROLE_LABEL = "blendnet-role"
AGENT_ROLE = "agent"
MANAGER_ROLE = "manager"
DISK_ROLE = "manager-disk"
"""Of the disk that outlives the Manager's machine."""

NOT_ELSEWHERE = ("allow", "broker-port", "cache", "endpoint", "manager-image")
"""Options that say nothing on the Manager's own machine."""

OPTIONS = {
    "project": "project id; default: GOOGLE_CLOUD_PROJECT, else the one of the credentials",
    "zones": "zones to work in, with commas; default: all of the region",
    "network": "VPC network; default: default",
    "subnet": "subnetwork of the region, or projects/P/regions/R/subnetworks/S; default: the network's own choice",
    "image": "boot image of agents: a name in the project, or projects/P/global/images/family/F; default: Debian 12",
    "manager-image": "boot image of the Manager's machine; default: Debian 12",
    "disk-gb": "size of an agent's disk; default: 30",
    "disk-type": "default: pd-balanced, or hyperdisk-balanced where a machine knows nothing else",
    "allow": "networks that may reach the Manager, with commas, as in 203.0.113.7/32; default: 0.0.0.0/0, the world",
    "broker-port": f"port of Redis on the Manager's machine, for agents alone; default: {BROKER_PORT}",
    "external-ip": "yes or no: agents have an address on the Internet; default: yes",
    "endpoint": "address of all of Google's APIs, for tests; default: BLENDNET_GCP_ENDPOINT",
    "cache": "folder for the price catalog; default: in the farm's data folder",
    "wait-s": "seconds to wait for Google to make a machine; default: 180",
}
"""What Place.options may hold."""

DEFAULT_IMAGE = "projects/debian-cloud/global/images/family/debian-12"
DEFAULT_WAIT_S = 180.0
EVERYWHERE = "0.0.0.0/0"
_FARM = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_AGENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,17}[a-z0-9])?")
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Everything that a farm's place on Google Cloud comes to."""

    farm: str
    region: str
    project: str = ""
    """'': the one of the credentials."""
    zones: tuple[str, ...] = ()
    """Empty: all zones of the region."""
    network: str = "default"
    subnet: str = ""
    image: str = DEFAULT_IMAGE
    manager_image: str = DEFAULT_IMAGE
    disk_gb: int = 30
    disk_type: str = ""
    """'': what suits the machine."""
    allow: tuple[str, ...] = (EVERYWHERE,)
    """Networks from which the Manager's HTTPS can be reached."""
    broker_port: int = BROKER_PORT
    external_ip: bool = True
    endpoint: str = ""
    """'': Google's own addresses."""
    cache: Path
    wait_s: float = DEFAULT_WAIT_S
    given: Mapping[str, str] = field(default_factory=dict)
    """The options as they were given."""

    @property
    def agent_tag(self) -> str:
        """Network tag of agents: firewall rules name it."""
        return f"bn-{self.farm}-agent"

    @property
    def manager_tag(self) -> str:
        """Network tag of the Manager's machine."""
        return f"bn-{self.farm}-manager"

    @property
    def manager_name(self) -> str:
        """Of the Manager's machine and its boot disk. Agents' machines have '--' after the farm."""
        return f"bn-{self.farm}-manager"

    @property
    def manager_disk(self) -> str:
        """Of the disk that outlives the Manager's machine."""
        return f"bn-{self.farm}-manager-disk"

    @property
    def labels(self) -> dict[str, str]:
        """On everything that can be labelled."""
        return {FARM_LABEL: self.farm}

    @property
    def filter(self) -> str:
        """Finds everything that is labelled."""
        return f'labels.{FARM_LABEL}="{self.farm}"'

    def machine_name(self, agent: str, key: str) -> str:
        """Google's name for the machine of an agent; another for each `key`, so that it never meets its predecessor.

        Raises:
            UserError: the agent's name does not fit.
        """
        if not _AGENT.fullmatch(agent) or "--" in agent:
            raise UserError(f"agent name {agent!r} does not fit: 1 to 19 lower-case letters, digits and single '-'")
        return f"bn-{self.farm}--{agent}-{hashlib.sha256(f'{key}/{agent}'.encode()).hexdigest()[:6]}"

    def agent_of(self, machine_name: str) -> str:
        """Name of the agent on a machine; '' when it is no agent of this farm."""
        found = re.fullmatch(rf"bn-{re.escape(self.farm)}--(.+)-[0-9a-f]{{6}}", machine_name)
        return found[1] if found and "--" not in found[1] else ""


def account_of(place: Place) -> Account:
    """The account that a place means.

    Raises:
        UserError: an option that there is not, or a value that cannot be; the text names those that can.
    """
    if unknown := sorted(set(place.options) - set(OPTIONS)):
        known = "\n".join(f"  {name}: {text}" for name, text in OPTIONS.items())
        raise UserError(f"provider gcp has no option {unknown[0]!r}; it has\n{known}")
    if not _FARM.fullmatch(place.farm) or "--" in place.farm:
        raise UserError(f"farm {place.farm!r}: at most 32 lower-case letters, digits and single '-', none at its ends")
    given = place.options
    zones = tuple(zone for part in given.get("zones", "").split(",") if (zone := part.strip()))
    return Account(
        farm=place.farm,
        region=_region(place, zones),
        project=given.get("project", "") or cloud_variable("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"),
        zones=zones,
        network=given.get("network", "default"),
        subnet=given.get("subnet", ""),
        image=given.get("image", DEFAULT_IMAGE),
        manager_image=given.get("manager-image", DEFAULT_IMAGE),
        disk_gb=int(_number(given, "disk-gb", 30)),
        disk_type=given.get("disk-type", ""),
        allow=_networks(given.get("allow", EVERYWHERE)),
        broker_port=_port(given),
        external_ip=_yes(given.get("external-ip", "yes")),
        endpoint=(given.get("endpoint", "") or get_settings().gcp_endpoint).rstrip("/"),
        cache=Path(given["cache"]) if given.get("cache") else get_settings().data / "prices",
        wait_s=_number(given, "wait-s", DEFAULT_WAIT_S),
        given=given,
    )


def region_of(zone: str) -> str:
    """'us-central1-a' -> 'us-central1'. PURE."""
    return zone.rpartition("-")[0]


def _region(place: Place, zones: tuple[str, ...]) -> str:
    region = (
        place.region
        or (region_of(zones[0]) if zones else "")
        or cloud_variable("GOOGLE_CLOUD_REGION", "CLOUDSDK_COMPUTE_REGION")
        or region_of(cloud_variable("CLOUDSDK_COMPUTE_ZONE"))
    )
    if not _REGION.fullmatch(region):
        raise UserError(
            f"which region of Google Cloud? {region!r} is none; one as in us-central1, or GOOGLE_CLOUD_REGION"
        )
    if strange := [zone for zone in zones if region_of(zone) != region]:
        raise UserError(f"zone {strange[0]} is not in region {region}")
    return region


def _networks(text: str) -> tuple[str, ...]:
    """'203.0.113.7, 198.51.100.0/24' -> '203.0.113.7/32', '198.51.100.0/24'."""
    try:
        found = tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UserError(f"option allow={text!r} of provider gcp: {error}; networks are as in 203.0.113.7/32") from error
    if not found:
        raise UserError("option allow of provider gcp names no network: nobody could reach the Manager")
    return found


def _port(given: Mapping[str, str]) -> int:
    port = _number(given, "broker-port", BROKER_PORT)
    if port != int(port) or port > 65_535 or port == API_PORT:
        raise UserError(f"option broker-port={given['broker-port']!r} of provider gcp is no port that Redis can have")
    return int(port)


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    text = given.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise UserError(f"option {name}={text!r} of provider gcp is not a number that can be")
    return number


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise UserError(f"option external-ip={text!r} of provider gcp: yes or no")
    return text == "yes"
