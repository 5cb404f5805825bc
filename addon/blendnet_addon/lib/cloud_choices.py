"""What the artist chooses of a cloud, what that costs at most, and how it is told to the command. Pure."""

import math
import re

from .errors import AddonError

PROVIDERS = ("aws", "gcp")
"""Clouds that make a machine for a Manager."""
ACCOUNT_OPTION = {"aws": "profile", "gcp": "project"}
"""The provider's option that says which of the user's accounts is meant."""
MANAGER_MACHINES = {"aws": "m6i.large", "gcp": "e2-standard-2"}
"""What `blendnet cloud up` takes for the Manager when nobody names another type."""
REGIONS = {
    "aws": ("us-east-1", "us-east-2", "us-west-2", "ca-central-1", "sa-east-1", "eu-central-1", "eu-west-1",
            "eu-west-2", "eu-west-3", "eu-north-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
            "ap-northeast-1", "ap-northeast-2"),
    "gcp": ("us-central1", "us-east1", "us-west1", "northamerica-northeast1", "southamerica-east1", "europe-west1",
            "europe-west2", "europe-west3", "europe-west4", "europe-north1", "asia-south1", "asia-southeast1",
            "asia-northeast1", "asia-east1", "australia-southeast1"),
}  # fmt: skip
"""Usual ones, to choose from; others are typed."""
CHEAP, FALLBACK, FULL = "never", "fallback", "always"
"""Machines at the full price: as the setting fleet_on_demand says it."""
EVERYONE, MINE = "everyone", "mine"
"""Who may reach the Manager, besides networks that are named."""
ARCH = "x86_64"
"""Blender's builds run on nothing else."""
LISTED = 16
"""Machine types that a menu shows."""
MEMORY_MIN_BYTES = 8 << 30
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NETWORK = re.compile(r"[0-9A-Fa-f.:]+/\d{1,3}")


class Place:
    """Which cloud, which account there, which region."""

    def __init__(self, provider, region, account="", options=""):
        """`options`: more of the provider, 'NAME=VALUE; NAME=VALUE'. Raises AddonError."""
        if provider not in PROVIDERS:
            raise AddonError(f"{provider!r} makes no machine for a Manager: choose {' or '.join(PROVIDERS)}")
        if not NAME.fullmatch(region.strip()):
            example = REGIONS[provider][0]
            raise AddonError(f"which region of {provider}? Choose one, or type its name, such as {example}")
        self.provider = provider
        self.region = region.strip()
        self.options = read_options(options)
        if account.strip():
            self.options[ACCOUNT_OPTION[provider]] = account.strip()

    @classmethod
    def of_note(cls, noted, options=""):
        """Where a farm was begun, with the account of then; `noted`: as lib.cloud.note. Raises AddonError."""
        account = (noted.get("options") or {}).get(ACCOUNT_OPTION.get(noted["provider"]), "")
        return cls(noted["provider"], noted["region"], account, options)

    @property
    def words(self):
        """For people."""
        return f"{self.provider}, {self.region}"

    def arguments(self, **more):
        """Of the command line; `more`: options besides."""
        said = ["--provider", self.provider, "--region", self.region]
        for name, value in sorted(dict(self.options, **more).items()):
            said += ["--option", f"{name}={value}"]
        return said

    def __eq__(self, other):
        return isinstance(other, Place) and self.arguments() == other.arguments()

    __hash__ = None


def read_options(text):
    """{name: value} of 'NAME=VALUE; NAME=VALUE'. Raises AddonError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise AddonError(f"{part[:80]!r} is no option of a provider: write NAME=VALUE; NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


class Wanted:
    """The farm that is to be: its agents, its limits, its Manager."""

    def __init__(self, machine, agents, market, cap_hour, cap_day, manager_machine=""):
        """`machine`: type of the agents, '': the cheapest of the moment; caps in US dollars, 0: none.

        Of a farm that is there, what is empty or 0 stays as it is.
        """
        self.machine = machine
        self.agents = agents
        self.market = market
        self.cap_hour = cap_hour
        self.cap_day = cap_day
        self.manager_machine = manager_machine

    def arguments(self):
        """Of `blendnet cloud up`."""
        said = ["--agents-max", str(self.agents)] if self.agents else []
        if self.manager_machine:
            said += ["--machine", self.manager_machine]
        if self.cap_day:
            said += ["--cap-day", f"{self.cap_day:.2f}"]
        return said

    def settings(self, bill):
        """BLENDNET_... that `cloud up` takes along for the Manager. Raises AddonError: the hourly cap cannot hold."""
        said = {"BLENDNET_FLEET_ON_DEMAND": self.market} if self.market else {}
        if self.machine:
            said["BLENDNET_FLEET_MACHINES"] = self.machine
        if self.cap_hour:
            said["BLENDNET_FLEET_PRICE_MAX_USD"] = f"{bill.price_limit(self):.4f}"
        return said


class Bill:
    """What an hour of such a farm costs at most, machines alone; None: nobody knows."""

    def __init__(self, wanted, types, provider):
        """`types`: as `blendnet cloud types --json` lists them; []: not asked."""
        by_name = {entry["name"]: entry for entry in types}
        of_manager = by_name.get(wanted.manager_machine or MANAGER_MACHINES[provider])
        self.manager_usd = None if of_manager is None else usd_of(of_manager, FULL)
        self.machine_usd = usd_of(by_name[wanted.machine], wanted.market) if wanted.machine in by_name else None

    def hour_usd(self, wanted):
        """All agents and the Manager; the hourly cap when that is less, or nobody knows."""
        known = [wanted.cap_hour] if wanted.cap_hour else []
        if self.manager_usd is not None and self.machine_usd is not None:
            known.append(self.manager_usd + wanted.agents * self.machine_usd)
        return min(known) if known else None

    def price_limit(self, wanted):
        """The most that one agent's machine may cost an hour, so that all with the Manager keep the hourly cap.

        Raises AddonError: there is no such price.
        """
        if self.manager_usd is None:
            raise AddonError(
                "nobody knows what the Manager's machine costs, so no cap of an hour can be held: leave out the cap, "
                "or choose another machine for the Manager"
            )
        if not wanted.agents:
            raise AddonError("how many machines share the cap of an hour? Name how many there may be at most, too")
        left = math.floor((wanted.cap_hour - self.manager_usd) / wanted.agents * 1e4) / 1e4
        if left <= 0 or (self.machine_usd is not None and left < self.machine_usd):
            cheapest = self.manager_usd + wanted.agents * (self.machine_usd or 0)
            raise AddonError(
                f"{wanted.agents} machines and the Manager cost ${cheapest:.2f} an hour, more than the cap of "
                f"${wanted.cap_hour:.2f}: take fewer or smaller ones, or raise the cap"
            )
        return left


def usd_of(entry, market):
    """The most that a machine of a type costs an hour, in US dollars; None: nobody knows.

    With full price as a way out, that is the most.
    """
    spot, full = (entry[way]["usd_per_hour"] if entry[way] else None for way in ("spot", "on_demand"))
    return spot if market == CHEAP else full


def menu_of(types, vcpus, gpu, market):
    """The types with `vcpus` to less than twice as many, that can render, the cheapest first; LISTED at most."""
    fit = [
        entry
        for entry in types
        if entry["arch"] == ARCH
        and vcpus <= entry["vcpus"] < 2 * vcpus
        and entry["memory_bytes"] >= MEMORY_MIN_BYTES
        and bool(entry["gpus"]) == gpu
    ]
    return sorted(fit, key=lambda entry: (_rank(usd_of(entry, market)), entry["name"]))[:LISTED]


def _rank(usd):
    return math.inf if usd is None else usd


def label(entry, market):
    """A type in a line: its name, size and price."""
    usd = usd_of(entry, market)
    price = "price unknown" if usd is None else f"{price_text(usd)}/h"
    gpu = f", {entry['gpus']} x {entry['gpu'] or 'GPU'}" if entry["gpus"] else ""
    return f"{entry['name']}: {entry['vcpus']} vCPU, {entry['memory_bytes'] / (1 << 30):.0f} GB{gpu}, {price}"


def price_text(usd):
    """An hourly price; a small one does not become 0, which would be free."""
    return f"${usd:.2f}" if usd >= 0.995 else f"${usd:.4f}" if usd >= 0.0001 or usd == 0 else f"${usd:.1e}"


def allowed(text, own_address):
    """The provider's option `allow` for EVERYONE, MINE or networks; `own_address()` is called for MINE alone.

    Raises AddonError.
    """
    text = text.strip()
    if text == EVERYONE:
        return "0.0.0.0/0"
    if text == MINE:
        return own_address() + "/32"
    networks = [part.strip() for part in text.split(",")]
    wrong = [part for part in networks if not NETWORK.fullmatch(part)]
    if wrong:
        raise AddonError(f"{wrong[0][:60]!r} is no network: write for example 203.0.113.7/32, or {MINE}, or {EVERYONE}")
    return ",".join(networks)
