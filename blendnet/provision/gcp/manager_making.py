"""How the Manager's machine and its lasting disk come to be on Compute Engine.

Both have one name, so that nothing is made twice; the machine is where its disk is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from blendnet.errors import FarmError, UserError
from blendnet.provision.base import Shortage
from blendnet.provision.gcp.account import Account
from blendnet.provision.gcp.manager_found import Found
from blendnet.provision.gcp.operations import Operations
from blendnet.provision.gcp.request import disk_request, manager_request
from blendnet.provision.gcp.resources import NOT_FOUND, Resources
from blendnet.provision.gcp.sdk import Google, Refused
from blendnet.provision.gcp.shortage import shortage_of
from blendnet.provision.gcp.stock import Stock
from blendnet.provision.manager_machine import ManagerWanted, check_processor

MACHINE = "e2-standard-2"
"""2 processors and 8 GB that no other machine shares. e2-medium, at half the price, is slowed down as soon as it works
for long, and a Manager does: it merges, checks hashes and serves files."""
ALTERNATIVES = ("n2d-standard-2", "n2-standard-2", "n1-standard-2")
"""Of about the same size, for zones that have no MACHINE left: its disk, which all of them can have, may be in one."""
CONFLICT = 409
TRIES, PAUSE_S = 12, 5.0
"""A service account that was just made is known to Compute Engine only after a while."""


class Maker:
    """Makes them, the disk first."""

    def __init__(
        self,
        google: Google,
        operations: Operations,
        stock: Stock,
        resources: Resources,
        settled: Callable[[], Found],
        pause: Callable[[float], None],
    ) -> None:
        """`settled`: what there is, when nothing of it is about to change."""
        self._google = google
        self._operations = operations
        self._stock = stock
        self._resources = resources
        self._settled = settled
        self._pause = pause

    @property
    def _account(self) -> Account:
        return self._google.account

    def check(self, wanted: ManagerWanted, there: Found) -> None:
        """Ask whether there may be such a machine.

        Raises:
            UserError: a zone or machine type that cannot be.
            FarmError: Google does not say.
        """
        next(self._places(_machines(wanted), wanted, there))
        if type_ := self._stock.machines.get(wanted.machine):
            check_processor(type_)

    def make(self, wanted: ManagerWanted, there: Found) -> Found:
        """What there is then. An empty disk may go to another zone.

        Raises:
            UserError: a zone or machine type that cannot be.
            FarmError: Google did not; the text says what helps.
        """
        refused = []
        for machine, zone in self._places(_machines(wanted), wanted, there):
            try:
                return self._make_in(zone, replace(wanted, machine=machine), there)
            except Refused as error:
                if shortage_of(error.trouble) is not Shortage.CAPACITY:
                    raise advised(error, self._google.project) from error
                refused.append(f"{machine} in {zone}")
                last = error
            blank, there = there.blank, self._settled()
            if there.machine is not None or there.blank is not blank:
                raise FarmError("somebody else is making the Manager's machine at the same time: look, and try again")
        if not there.blank:
            raise advised(last, self._google.project, tried=refused) from last
        raise FarmError(
            f"no room for the Manager ({', '.join(refused)}): {str(last).rstrip('.')}. Try later, or another machine"
            " type (--machine), region or zone"
        )

    def _places(self, machines: Sequence[str], wanted: ManagerWanted, there: Found) -> Iterator[tuple[str, str]]:
        """Machine type and zone, the best first. Raises UserError: none of the types is in one of them."""
        zones, none = self._zones(wanted, there), True
        for machine in machines:
            for zone in [zone for zone in zones if self._stock.offered(zone, machine)]:
                none = False
                yield machine, zone
        if none:
            raise UserError(
                f"there is no machine type {machines[0]!r} in {', '.join(zones)}: `blendnet cloud types --provider gcp`"
                " lists those that there are"
            )

    def _zones(self, wanted: ManagerWanted, there: Found) -> Sequence[str]:
        """Where the machine may be, the best first. A disk that something is on stays where it is."""
        if there.blank:
            every = sorted(self._stock.zones, key=lambda zone: zone != there.disk_zone)
            if wanted.zone not in ("", *every):
                raise UserError(f"the farm has no zone {wanted.zone!r}: one of {', '.join(sorted(every))}")
            return [wanted.zone] if wanted.zone else every
        if wanted.zone not in ("", there.disk_zone):
            raise UserError(
                f"the Manager's disk is in {there.disk_zone}, so its machine cannot be in {wanted.zone}: leave the"
                " zone out"
            )
        return [there.disk_zone]

    def _make_in(self, zone: str, wanted: ManagerWanted, there: Found) -> Found:
        """The machine, with its disk, in one zone. An empty disk goes when it comes to nothing for certain."""
        machine = wanted.machine or MACHINE
        if there.disk is not None and there.disk_zone != zone:
            self._drop_disk(there.disk_zone)
            there = Found()
        known_empty = there.blank
        try:
            if there.disk is None and not self._make_disk(zone, machine, wanted.disk_gb):
                there, known_empty = self._adopted(zone), False
            if there.disk is not None and there.disk.size_gb < wanted.disk_gb:
                self._enlarge_disk(zone, wanted.disk_gb)
            self._make_machine(zone, machine, wanted.user_data)
        except Refused as error:
            if error.answered:
                self._tidy(zone, known_empty=known_empty)
            raise
        made = self._settled()
        if made.machine is None:
            self._tidy(zone, known_empty=known_empty)
            name = self._account.manager_name
            raise FarmError(f"machine {name} in {zone} is not there, or is not of this farm: `gcloud compute instances"
                            f" describe {name} --zone {zone}` says what it is")  # fmt: skip
        return made

    def _tidy(self, zone: str, *, known_empty: bool) -> None:
        """Remove the disk if it is ours and empty: it is no more than what it costs, and `cloud remains` lists it else.

        `known_empty`: it was so before, or was made just now; an attempt to attach it has put nothing on it.
        """
        with suppress(FarmError):
            there = self._settled()
            if there.disk is not None and there.disk_zone == zone and (known_empty or there.blank):
                self._drop_disk(zone)

    def _make_disk(self, zone: str, machine: str, size_gb: int) -> bool:
        """False: there is one of that name already."""
        what = f"make the Manager's disk in {zone}"
        body = disk_request(self._account, machine, zone, size_gb)
        try:
            operation = self._google.order("Disks", "insert_unary", what, zone=zone, disk_resource=body)
        except Refused as error:
            if error.http_status != CONFLICT:
                raise
            return False
        self._operations.check(operation, what, zone=zone, wait_s=self._account.wait_s)
        return True

    def _enlarge_disk(self, zone: str, size_gb: int) -> None:
        """Its file system grows when the machine starts."""
        what = f"enlarge the Manager's disk in {zone} to {size_gb} GB"
        size = {"size_gb": size_gb}
        operation = self._google.order(
            "Disks",
            "resize_unary",
            what,
            zone=zone,
            disk=self._account.manager_disk,
            disks_resize_request_resource=size,
        )
        self._operations.check(operation, what, zone=zone, wait_s=self._account.wait_s)

    def _adopted(self, zone: str) -> Found:
        """A disk that somebody else has made meanwhile, or that Google had not listed: something may be on it."""
        there = self._settled()
        if there.disk is None or there.disk_zone != zone:
            raise FarmError(
                f"disk {self._account.manager_disk} in {zone} is not of this farm, for it lacks its label. Delete it,"
                " or give the farm another name"
            )
        return there

    def _make_machine(self, zone: str, machine: str, user_data: str) -> None:
        what = f"make the Manager's machine in {zone}"
        email = self._resources.identity.email
        body = manager_request(self._account, machine, zone, user_data, email)
        for left in reversed(range(TRIES)):
            try:
                operation = self._google.order("Instances", "insert_unary", what, zone=zone, instance_resource=body)
                return self._operations.check(operation, what, zone=zone, wait_s=self._account.wait_s)
            except Refused as error:
                if error.http_status == CONFLICT and error.reason == "alreadyExists":
                    return None
                if not left or not _unknown(email, error):
                    raise
                self._pause(PAUSE_S)

    def _drop_disk(self, zone: str) -> None:
        """Remove an empty disk; Google refuses while a machine has it."""
        what = f"remove the Manager's empty disk in {zone}"
        try:
            operation = self._google.order("Disks", "delete_unary", what, zone=zone, disk=self._account.manager_disk)
        except Refused as error:
            if error.http_status != NOT_FOUND:
                raise
        else:
            self._operations.check(operation, what, zone=zone, wait_s=self._account.wait_s)


def _machines(wanted: ManagerWanted) -> Sequence[str]:
    """Machine types that will do, the best first. PURE."""
    return [wanted.machine] if wanted.machine else [MACHINE, *ALTERNATIVES]


def advised(error: Refused, project: str, *, tried: Sequence[str] = ()) -> Refused:
    """The error, with what to do about it. `tried`: what there was no room for, if it was more than one. PURE."""
    shortage = shortage_of(error.trouble)
    page = f"https://console.cloud.google.com/iam-admin/quotas?project={project}"
    advice = {
        Shortage.CAPACITY: "Its disk is in that zone: try later, or another machine type (a machine that is there"
        " is deleted before; its disk stays)",
        Shortage.QUOTA: f"Ask for more: {page}",
        Shortage.TROUBLE: "Repeat this: what is there already is found again",
    }.get(shortage, "`blendnet cloud doctor --provider gcp` says what is missing")
    others = f" (tried: {', '.join(tried)})" if len(tried) > 1 else ""
    text = f"{str(error).rstrip('.')}{others}. {advice}"
    return Refused(text, code=error.reason, status=error.http_status, answered=error.answered)


def _unknown(email: str, error: Refused) -> bool:
    """Compute Engine does not know the service account (yet). PURE."""
    said = str(error).lower()
    return email in said and ("not found" in said or "does not exist" in said)
