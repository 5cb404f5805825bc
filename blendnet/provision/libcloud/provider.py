"""One provider for all clouds of apache-libcloud (base.Provider); clouds.py knows how they differ."""

from __future__ import annotations

import hashlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from blendnet.errors import FarmError, UserError
from blendnet.provision.base import (
    DAY_S,
    Check,
    CheckState,
    Created,
    Instance,
    InstanceState,
    MachineType,
    Offer,
    Place,
    Price,
    Quota,
    Refusal,
    Shortage,
    Wanted,
)
from blendnet.provision.libcloud import checks
from blendnet.provision.libcloud.azure_prices import AzurePrices
from blendnet.provision.libcloud.clouds import CLOUDS, Cloud, size_vcpus
from blendnet.provision.libcloud.nodes import told_of
from blendnet.provision.libcloud.order import Order
from blendnet.provision.libcloud.price_list import open_price_list
from blendnet.provision.libcloud.quotas import quota_text, used_up

MIB = 1 << 20
STARTING = ("pending", "starting", "rebooting", "updating", "reconfiguring", "migrating", "unknown")
STOPPING = ("stopping", "stopped", "paused", "suspended", "error", "terminated")
"""libcloud's words. A machine that is off still costs, and so does one that is being deleted."""
NO_ROOM = r"AllocationFailed|SkuNotAvailable|capacity|sold out|No valid host|out of stock"
SHORTAGES = (
    (re.compile(r"quota|limit (of|reached|exceeded)|exceed", re.I), Shortage.QUOTA),
    (re.compile(NO_ROOM, re.I), Shortage.CAPACITY),
    (re.compile(r"MaxPrice|price", re.I), Shortage.PRICE),
    (re.compile(r"no (machine type|such size)|invalid (size|plan|type|flavor)", re.I), Shortage.REFUSED),
)  # fmt: skip
LIVING = (InstanceState.STARTING, InstanceState.RUNNING)
_AGENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


class LibcloudProvider:
    """Agents on one of the other clouds. libcloud's connections are for one thread: calls wait for each other."""

    def __init__(
        self,
        cloud: Cloud,
        place: Place,
        driver: Callable[[], Any] | None = None,
        clock: Callable[[], float] = time.time,
        retail: AzurePrices | None = None,
        head: checks.Head = checks.head,
    ) -> None:
        """`driver()` makes libcloud's driver; None: from the cloud's own environment variables. `retail`: who asks for
        Azure's prices; `head(url)`: who asks whether the cloud is there, and what time it is."""
        self.name = cloud.name
        self.features = cloud.features
        self._cloud = cloud
        self._place = place
        self._make = driver or self._from_environment
        self._made: Any = None
        self._clock = clock
        self._retail = retail or AzurePrices(clock)
        self._head = head
        self._seen: dict[str, Instance] = {}
        self._lock = threading.RLock()

    def create(self, wanted: Wanted) -> Created:
        """Machines one by one, by the offers in their order. What is off is deleted first: it costs on."""
        if not wanted.offers:
            raise UserError(f"provider {self.name} has to be told which machines: name at least one offer")
        if any(one.spot for one in wanted.offers) and not self.features.spot:
            raise UserError(f"provider {self.name}: {self.features.cannot['spot']}")
        with self._lock:
            living = {one.name: one for one in self.list() if one.state in LIVING}
            self._remove([node for node in self._nodes() if _word(node) in ("stopped", "error")])
            instances: MutableSequence[Instance] = []
            refusals: MutableSequence[Refusal] = []
            for name in dict.fromkeys(wanted.names):
                found = living.get(name) or self._order_anywhere(name, wanted, refusals)
                instances.extend([found] if found else [])
            return Created(instances, refusals)

    def list(self) -> Sequence[Instance]:
        """All agents, by the names of their machines; those that are not listed any more as GONE, for a day."""
        with self._lock:
            there = {one.id: one for node in self._nodes() if (one := self._instance(node))}
            now = self._clock()
            gone = {
                id_: one if one.state is InstanceState.GONE else _gone(one, now)
                for id_, one in self._seen.items()
                if id_ not in there
            }
            self._seen = {id_: one for id_, one in {**gone, **there}.items() if now - (one.ended_at or now) <= DAY_S}
            return list(self._seen.values())

    def destroy(self, names: Sequence[str]) -> None:
        """Delete machines: powering off would not end the bill."""
        with self._lock:
            self._remove([node for node in self._nodes() if self._agent(node) in set(names)])

    def interrupt(self, name: str, left_s: float | None) -> None:
        """None of them can be told to announce that."""
        raise FarmError(f"provider {self.name} cannot announce to {name} that it is taken back")

    def machine_types(self) -> Sequence[MachineType]:
        """What the cloud offers in the region."""
        return [_machine(size) for size in self._sizes()]

    def prices(self, offers: Sequence[Offer]) -> Mapping[Offer, Price]:
        """What the cloud says; for Azure what Microsoft does, else the list in libcloud. 0.0 means unknown."""
        if self.name == "azure":
            live = self._retail.of(offers, self._place.region)
            return {**self._listed([one for one in offers if one not in live]), **live}
        usd = {size.id: self._cloud.usd(size) for size in self._sizes()}
        return {
            one: Price(one.machine, one.zone, False, usd[one.machine], "live", self._clock())
            for one in offers
            if not one.spot and usd.get(one.machine)
        }

    def _listed(self, offers: Sequence[Offer]) -> Mapping[Offer, Price]:
        """Azure's prices on demand: an upper bound for Spot."""
        if not offers:
            return {}
        prices = open_price_list()
        return prices.prices(offers, {one: prices.azure(one.machine, self._zone(one)) for one in offers})

    def quotas(self) -> Sequence[Quota]:
        """What the account may have, where the cloud says it."""
        if self._cloud.quotas is None:
            return []
        with self._lock, self._asking("say what the account may have"):
            return self._cloud.quotas(self._driver, self._place.region)

    def checks(self) -> Sequence[Check]:
        """Each of them alone; what cannot be done is a warning each."""
        try:
            machines = self.machine_types()
            self.list()
        except FarmError as error:
            names = " ".join(name for names in self._cloud.credentials.values() for name in names[:1])
            refused = Check("credentials", CheckState.PROBLEM, str(error), f"export {names}")
            return [*(one for one in self._reached() if one.state is CheckState.PROBLEM), refused]
        found = [
            *self._reached(known=True),
            Check("credentials", CheckState.OK, f"{self.name} answers"),
            checks.permissions(self.name),
            Check("machine types", CheckState.OK, f"{len(machines)} on offer"),
            checks.prices(machines, self.prices, self._clock()),
            *self._quota_checks(),
        ]
        if why := self.features.cannot.get("power off"):
            found.append(Check("power off", CheckState.WARNING, why, "blendnet cloud destroy"))
        return found

    def _reached(self, *, known: bool = False) -> Sequence[Check]:
        """Whether the cloud is there, and the clock right; nothing while nobody knows where it is."""
        address = checks.address_of(self._made)
        return checks.reach(address, self._clock, self._head, known=known) if address else []

    def _quota_checks(self) -> Sequence[Check]:
        """An unknown quota warns and never blocks."""
        if self._cloud.quotas is None:
            words, help_ = self.features.cannot["quotas"], f"see the console of {self.name}"
            return [Check("quota", CheckState.WARNING, words, help_)]
        try:
            quotas = self.quotas()
        except FarmError as error:
            return [Check("quota", CheckState.WARNING, str(error), f"see the console of {self.name}")]
        full = used_up(quotas)
        return [
            Check(f"quota: {one.name}", CheckState.PROBLEM, quota_text(one), f"ask for more: {one.help}")
            if one in full
            else Check(f"quota: {one.name}", CheckState.OK, quota_text(one))
            for one in quotas
        ]

    def boot_log(self, name: str) -> str:
        """What the machine's console shows, where the cloud shows it."""
        if not self._cloud.boot_log:
            return ""
        with self._lock:
            node = next((node for node in self._nodes() if self._agent(node) == name), None)
            with self._asking(f"show the boot log of {name}"):
                return self._cloud.boot_log(self._driver, node) if node else ""

    def _order_anywhere(self, name: str, wanted: Wanted, refusals: MutableSequence[Refusal]) -> Instance | None:
        text = wanted.user_data(name)
        for offer in wanted.offers:
            order = self._order(name, offer, text, wanted.token)
            try:
                with self._asking(f"make {name}"):
                    node = self._cloud.order(self._driver, order)
            except FarmError as error:
                node, certain = self._found(order.machine_name)
                if node is None:
                    shortage = shortage_of(str(error))
                    refusals.append(Refusal(offer, shortage, str(error)))
                    if shortage is Shortage.TROUBLE or not certain:
                        return None  # It may still come: it must not be asked for elsewhere.
                    continue
            made = Instance(
                name, InstanceState.STARTING, id=str(node.id), machine=offer.machine, zone=order.zone, spot=offer.spot,
                launched_at=self._clock(),
            )  # fmt: skip
            self._seen[made.id] = made
            return made
        return None

    def _found(self, machine_name: str) -> tuple[Any, bool]:
        """The machine of an order whose answer was lost, or that was there already; and whether the cloud said so."""
        try:
            return next((node for node in self._nodes() if node.name == machine_name), None), True
        except FarmError:
            return None, False

    def _order(self, name: str, offer: Offer, user_data: str, token: str) -> Order:
        image = self._place.options.get("image") or self._cloud.image
        if not image:
            raise UserError(f"provider {self.name} needs the option image: the id of an image with cloud-init")
        if not _AGENT.fullmatch(name) or "--" in name:
            raise UserError(f"agent name {name!r} does not fit: 1 to 30 lower-case letters, digits and single '-'")
        suffix = hashlib.sha256(f"{token or uuid.uuid4().hex}/{name}".encode()).hexdigest()[:6]
        return Order(
            farm=self._place.farm, machine_name=f"{self._prefix}{name}-{suffix}", size=offer.machine,
            zone=self._zone(offer), spot=offer.spot, image=image, user_data=user_data, options=self._place.options,
        )  # fmt: skip

    @property
    def _prefix(self) -> str:
        """Names are what all these clouds can carry; the farm's is hashed: none begins like another's."""
        return f"bn-{hashlib.sha256(self._place.farm.encode()).hexdigest()[:8]}-"

    def _agent(self, node: Any) -> str:
        found = re.fullmatch(rf"{self._prefix}(.+)-[0-9a-f]{{6}}", str(node.name))
        return found[1] if found else ""

    def _instance(self, node: Any) -> Instance | None:
        name = self._agent(node)
        if not name:
            return None
        told = told_of(node)
        known = self._seen.get(str(node.id)) or Instance(
            name, id=str(node.id), machine=told.machine, zone=told.zone, spot=told.spot
        )
        return replace(known, state=state_of(_word(node)), launched_at=known.launched_at or told.launched_at)

    def _remove(self, nodes: Sequence[Any]) -> None:
        failures = []
        for node in nodes:
            try:
                with self._asking(f"delete {node.name}"):
                    self._cloud.remove(self._driver, node)
            except FarmError as error:
                failures.append(str(error))
        if failures:
            raise FarmError("; ".join(failures))

    def _nodes(self) -> Sequence[Any]:
        """The machines of this farm."""
        with self._asking("list the machines"):
            return [node for node in self._cloud.nodes(self._driver) if self._agent(node)]

    def _sizes(self) -> Sequence[Any]:
        with self._lock, self._asking("list machine types"):
            sizes = list(self._cloud.sizes(self._driver, self._place.region))
        if not sizes:
            raise FarmError(f"{self.name} lists no machine types: an empty answer counts as none")
        return sizes

    def _zone(self, offer: Offer) -> str:
        return offer.zone or self._place.region

    @property
    def _driver(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _from_environment(self) -> Any:
        try:
            from libcloud.compute.providers import get_driver
        except ImportError as error:
            raise FarmError(f"apache-libcloud is missing ({error}): pip install 'blendnet[libcloud]'") from error
        known = self._cloud.secrets()
        return self._cloud.open(get_driver(self._cloud.provider), known, self._place.region, self._place.options)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """libcloud raises errors of many kinds, plain Exceptions among them."""
        try:
            yield
        except (FarmError, UserError):
            raise
        except Exception as error:
            raise FarmError(f"{self.name} did not {what}: {error or repr(error)}") from error


def state_of(word: str) -> InstanceState:
    """What libcloud's word for a machine's state means; one that nobody knows counts as running: it may cost. PURE."""
    if word in STARTING:
        return InstanceState.STARTING
    return InstanceState.STOPPING if word in STOPPING else InstanceState.RUNNING


def _word(node: Any) -> str:
    return str(getattr(node.state, "value", node.state))


def shortage_of(message: str) -> Shortage:
    """What a cloud's words mean for the next try. PURE."""
    return next((shortage for pattern, shortage in SHORTAGES if pattern.search(message)), Shortage.TROUBLE)


def open_cloud(name: str) -> Callable[[Place], LibcloudProvider]:
    """The function that opens a provider."""
    return lambda place: LibcloudProvider(CLOUDS[name], place)


def _gone(one: Instance, now: float) -> Instance:
    return replace(one, state=InstanceState.GONE, ended_at=now, reason="no longer listed")


def _machine(size: Any) -> MachineType:
    extra = size.extra or {}
    arch = "aarch64" if "arm" in str(extra.get("arch", "")) else "x86_64"
    return MachineType(size.id, size_vcpus(size), int(size.ram) * MIB, gpus=int(extra.get("gpus") or 0), arch=arch)


open_azure, open_digitalocean, open_linode = open_cloud("azure"), open_cloud("digitalocean"), open_cloud("linode")
open_openstack, open_scaleway, open_vultr = open_cloud("openstack"), open_cloud("scaleway"), open_cloud("vultr")
