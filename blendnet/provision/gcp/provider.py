"""The provider of Google Cloud (base.Provider): agents on Compute Engine, and the Manager's machine there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from blendnet.errors import FarmError
from blendnet.provision.base import (
    Check,
    Created,
    Features,
    Instance,
    InstanceState,
    MachineType,
    Offer,
    Place,
    Price,
    Quota,
    Wanted,
)
from blendnet.provision.gcp.account import Account, account_of
from blendnet.provision.gcp.checks import Checks
from blendnet.provision.gcp.inventory import Inventory
from blendnet.provision.gcp.launch import Launcher
from blendnet.provision.gcp.manager_machine import GceManager
from blendnet.provision.gcp.operations import Operations
from blendnet.provision.gcp.prices import Prices
from blendnet.provision.gcp.resources import Resources
from blendnet.provision.gcp.sdk import Google, Refused
from blendnet.provision.gcp.stock import Stock

NOTICE_S = 30.0
NOT_FOUND = 404
LIVING = (InstanceState.STARTING, InstanceState.RUNNING)


class GcpProvider:
    """Agents on Google Cloud. Thread-safe."""

    name = "gcp"
    features = Features(
        spot=True,
        lifetime=True,
        notice="gcp",
        notice_s=NOTICE_S,
        boot_log=True,
        cannot={"notice time": "Google gives 30 s, and takes no other number to try it out with"},
    )

    def __init__(
        self, account: Account, clock: Callable[[], float] = time.time, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """`pause`: between two looks at what takes a while."""
        self._google = Google(account)
        self._operations = Operations(self._google)
        self._inventory = Inventory(self._google, clock)
        self._stock = Stock(self._google)
        self._prices = Prices(self._google, clock)
        self._launcher = Launcher(self._google, self._inventory, self._operations)
        self._checks = Checks(self._google, self._stock, self._prices, clock)
        self.account = Resources(self._google, self._inventory, self._operations)
        """What a farm has here besides its agents."""
        self.manager_host = GceManager(
            self._google, self._inventory, self._operations, self._stock, self.account, clock, pause
        )
        """The Manager's own machine."""

    @property
    def region(self) -> str:
        """Where it works."""
        return self._google.account.region

    def create(self, wanted: Wanted) -> Created:
        """Machines for the names that have none, by the offers in their order, each in its zone (none: all zones).

        What was stopped instead of deleted, which its disk still costs, is cleared away first.
        """
        living = {one.name: one for one in self._inventory.all() if one.state in LIVING}
        with suppress(FarmError):  # It is asked for again with the next machines.
            self._delete_all(self._inventory.leftovers)
        missing = [name for name in dict.fromkeys(wanted.names) if name not in living]
        kept = [living[name] for name in dict.fromkeys(wanted.names) if name in living]
        if not missing:
            return Created(kept)
        zones = () if all(offer.zone for offer in wanted.offers) else self._stock.zones
        made = self._launcher.launch(wanted, missing, zones)
        return Created([*kept, *made.instances], made.refusals)

    def list(self) -> Sequence[Instance]:
        """All agents in all zones, those that ended within a day as GONE: 'preempted', 'deleted', ..."""
        return self._inventory.all()

    def destroy(self, names: Sequence[str]) -> None:
        """Delete the agents' machines with their disks, and what was stopped instead of deleted."""
        there = self._inventory.all()
        ours = [one for one in there if one.name in set(names) and one.state in LIVING]
        self._delete_all([*ours, *self._inventory.leftovers])

    def interrupt(self, name: str, left_s: float | None) -> None:
        """Let Google take a Spot machine back, as it does itself."""
        one = self._living(name)
        if not one or not one.spot:
            raise FarmError(f"{name} has no Spot machine that runs: Google takes back no other")
        if left_s is not None and left_s != NOTICE_S:
            raise FarmError(f"Google gives {NOTICE_S:g} s from notice to end: leave the seconds out")
        self._google.tell(
            "Instances", "simulate_maintenance_event_unary", f"take back {name}", zone=one.zone, instance=one.id
        )

    def machine_types(self) -> Sequence[MachineType]:
        """What there is in at least one of the zones."""
        return list(self._stock.machines.values())

    def prices(self, offers: Sequence[Offer]) -> Mapping[Offer, Price]:
        """Of Google's catalog, else of apache-libcloud's list: prices on demand then, as an upper bound."""
        return self._prices.of(offers, self._stock.machines) if offers else {}

    def quotas(self) -> Sequence[Quota]:
        """Of the region and the project, Spot processors first."""
        return self._stock.quotas()

    def checks(self) -> Sequence[Check]:
        """Credentials, project and API, permissions, machine types, image, network, prices, clock, quotas."""
        return self._checks.all()

    def boot_log(self, name: str) -> str:
        """The serial console of the agent's machine."""
        one = self._living(name)
        if not one:
            return ""
        answer = self._google.ask(
            "Instances", "get_serial_port_output", f"show the boot log of {name}", zone=one.zone, instance=one.id
        )
        return str(answer.contents)

    def _living(self, name: str) -> Instance | None:
        return next((one for one in self._inventory.all() if one.name == name and one.state in LIVING), None)

    def _delete_all(self, machines: Sequence[Instance]) -> None:
        """Go on after a failure, and tell of it at the end."""
        failures = []
        for one in machines:
            try:
                self._delete(one)
            except FarmError as error:
                failures.append(f"{one.name}: {error}")
        if failures:
            raise FarmError("; ".join(failures))

    def _delete(self, one: Instance) -> None:
        try:
            self._google.tell("Instances", "delete_unary", f"delete {one.id}", zone=one.zone, instance=one.id)
        except Refused as error:
            if error.http_status != NOT_FOUND:
                raise


def open_gcp(place: Place) -> GcpProvider:
    """The provider for one farm in one region. Asks nothing yet.

    Raises:
        UserError: an option that cannot be.
    """
    return GcpProvider(account_of(place))
