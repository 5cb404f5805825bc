"""The Manager's own machine on Compute Engine (provision.manager_machine.ManagerHost).

A standard machine that is found by the farm's labels, and a disk that outlives it: manager_making.py makes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from blendnet.errors import FarmError, UserError
from blendnet.provision.bootstrap_manager import Site
from blendnet.provision.gcp.account import NOT_ELSEWHERE, Account, region_of
from blendnet.provision.gcp.inventory import Inventory
from blendnet.provision.gcp.manager_found import Found, found_in
from blendnet.provision.gcp.manager_making import MACHINE, Maker, advised
from blendnet.provision.gcp.operations import Operations
from blendnet.provision.gcp.request import DEVICE
from blendnet.provision.gcp.resources import DELETE_WAIT_S, NOT_FOUND, Resources
from blendnet.provision.gcp.sdk import Google, Refused, word
from blendnet.provision.gcp.stock import Stock
from blendnet.provision.manager_machine import BUNDLE, PUBLISHED, SETTINGS, ManagerMachine, ManagerState, ManagerWanted
from blendnet.provision.pauses import pauses
from blendnet.provision.stock import Bundle

STORAGE = "https://storage.googleapis.com"
TOKEN_URL = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
"""On each machine of Google: a token of its service account."""
SMALLEST_GB, LARGEST_GB = 10, 65_536
"""What Google takes for a disk."""
SETTLE_S = 300.0
"""So long is waited for a machine that stops, or a disk that comes or goes."""
LOOK_S = 3.0
"""Most between two looks."""
NOT_READY = ("resourceNotReady", "RESOURCE_NOT_READY")
STOPPED = (ManagerState.ABSENT, ManagerState.STOPPING, ManagerState.STOPPED)
MACHINE_TYPE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


class GceManager:
    """Makes, starts, stops and ends it. All calls may be broken off and repeated."""

    def __init__(
        self,
        google: Google,
        inventory: Inventory,
        operations: Operations,
        stock: Stock,
        resources: Resources,
        clock: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        self._google = google
        self._inventory = inventory
        self._operations = operations
        self._resources = resources
        self._clock = clock
        self._pause = pause
        self._maker = Maker(google, operations, stock, resources, self._settled, pause)

    def site(self) -> Site:
        """What its user data have to know. Raises FarmError: nobody says which project."""
        project = self._google.project
        given = {name: value for name, value in self._account.given.items() if name not in NOT_ELSEWHERE}
        return Site(
            cloud="gcp",
            region=self._account.region,
            bucket=f"gs://{self._resources.bucket.name}",
            disk=f"/dev/disk/by-id/google-{DEVICE}",
            machine=MACHINE,
            broker_port=self._account.broker_port,
            options={**given, "project": project},
            environment={"GOOGLE_CLOUD_PROJECT": project},
        )

    def check(self, wanted: ManagerWanted) -> None:
        """As the contract says; a disk of a size that cannot be is refused too."""
        self._check(wanted)
        self._maker.check(wanted, self._settled())

    def bring(self, bundle: Path, sha256: str) -> Bundle:
        """Put the bundle into the bucket: the machine reads it as who it is, so its address alone is worth nothing.

        Raises:
            FarmError: Google did not take it, or there is no bucket.
        """
        self._resources.bucket.write(BUNDLE, bundle)
        url = f"{STORAGE}/storage/v1/b/{self._resources.bucket.name}/o/{quote(BUNDLE, safe='')}?alt=media"
        return Bundle(url=url, sha256=sha256, token_url=TOKEN_URL)

    def ensure(self, wanted: ManagerWanted) -> ManagerMachine:
        """Make disk and machine as far as they are missing, and start it; an empty disk may move to another zone.

        Raises:
            UserError: a zone, machine type or size that cannot be.
            FarmError: Google did not; the text says what helps. What was made is found again.
        """
        self._check(wanted)
        there = self._settled()
        if there.machine is None:
            there = self._maker.make(wanted, there)
        if not there.holding:
            raise _without_disk(there, self._account)
        return self._on(there)

    def look(self) -> ManagerMachine:
        """What there is. Raises FarmError."""
        return self._find().shown()

    def start(self) -> ManagerMachine:
        """Start it when it is stopped, after it has stopped. Raises FarmError."""
        there = self._settled()
        if there.machine is None:
            disk = " (its disk is there)" if there.disk is not None else ""
            raise FarmError(f"there is no machine of a Manager to start{disk}: `blendnet cloud up` makes one")
        return self._on(there)

    def stop(self) -> ManagerMachine:
        """Tell it to stop; Google gives its system about 90 seconds. Raises FarmError."""
        there = self._find()
        if there.state not in STOPPED:
            self._order(there, "stop_unary", "stop")
            there = self._find()
        return there.shown()

    def destroy(self) -> None:
        """End the machine and wait until it is gone; its disk stays. Raises FarmError."""
        there = self._find()
        if there.state is ManagerState.STOPPING:
            there = self._settled()  # Google takes no order meanwhile; or it is being ended already.
        if there.machine is None:
            return
        if there.holding and there.holding.auto_delete:
            raise FarmError(
                f"disk {there.disk.name} would be deleted with the machine: `gcloud compute instances"
                f" set-disk-auto-delete {there.machine.name} --disk {there.disk.name} --no-auto-delete"
                f" --zone {there.zone}` before"
            )
        try:
            operation = self._order(there, "delete_unary", "end")
            self._operations.check(operation, "end the Manager's machine", zone=there.zone, wait_s=DELETE_WAIT_S)
        except Refused as error:
            if error.http_status != NOT_FOUND:
                raise
        self._gone()

    def log(self) -> str:
        """The serial console; '' when there is no machine, or it does not run. Raises FarmError."""
        there = self._find()
        if there.machine is None:
            return ""
        which = {"zone": there.zone, "instance": there.machine.name}
        try:
            answer = self._google.ask("Instances", "get_serial_port_output", "show the Manager's console", **which)
        except Refused as error:
            if error.http_status == NOT_FOUND or error.reason in NOT_READY or there.state is ManagerState.STOPPED:
                return ""  # Google keeps it while the machine runs.
            raise
        return str(answer.contents)

    def published(self) -> bytes | None:
        """What the Manager says in the farm's bucket; one in another project is not asked. Raises FarmError."""
        return self._resources.bucket.read(PUBLISHED)

    def settings(self) -> bytes | None:
        """As the contract says."""
        return self._resources.bucket.read(SETTINGS)

    def keep_settings(self, data: bytes) -> None:
        """As the contract says."""
        self._resources.bucket.put(SETTINGS, data)

    @property
    def _account(self) -> Account:
        return self._google.account

    # --- looking ---

    def _find(self) -> Found:
        return found_in(self._inventory.raw(), self._google.aggregated("Disks", "disks"))

    def _settled(self) -> Found:
        """What there is, when nothing of it is about to change."""
        until, later = self._clock() + SETTLE_S, pauses(LOOK_S)
        while (there := self._find()).changing:
            if self._clock() >= until:
                raise Refused(f"Google Cloud takes its time: {there.changing} for {SETTLE_S:g} s. Repeat this later")
            self._pause(next(later))
        return there

    def _gone(self) -> None:
        until, later = self._clock() + SETTLE_S, pauses(LOOK_S)
        while (there := self._find()).machine is not None:
            if self._clock() >= until:
                raise Refused(f"machine {there.machine.name} in {there.zone} was told to end, and is still listed")
            self._pause(next(later))

    # --- making ---

    def _check(self, wanted: ManagerWanted) -> None:
        if wanted.zone and region_of(wanted.zone) != self._account.region:
            raise UserError(f"zone {wanted.zone!r} is not in region {self._account.region}")
        if wanted.machine and not MACHINE_TYPE.fullmatch(wanted.machine):
            raise UserError(f"{wanted.machine!r} is no machine type: one as {MACHINE}")
        if not SMALLEST_GB <= wanted.disk_gb <= LARGEST_GB:
            raise UserError(f"a disk of {wanted.disk_gb} GB: Google makes {SMALLEST_GB} to {LARGEST_GB} GB")

    # --- switching ---

    def _on(self, there: Found) -> ManagerMachine:
        if there.state is not ManagerState.STOPPED:
            return there.shown()
        if not there.holding:
            raise _without_disk(there, self._account)
        if word(there.machine.status) == "SUSPENDED":
            raise FarmError(
                f"somebody has suspended machine {there.machine.name}: `gcloud compute instances resume"
                f" {there.machine.name} --zone {there.zone}`"
            )
        try:
            operation = self._order(there, "start_unary", "start")
            what = "start the Manager's machine"
            self._operations.check(operation, what, zone=there.zone, wait_s=self._account.wait_s)
        except Refused as error:
            raise advised(error, self._google.project) from error
        return self._find().shown()

    def _order(self, there: Found, call: str, verb: str) -> Any:
        what = f"{verb} the Manager's machine"
        return self._google.order("Instances", call, what, zone=there.zone, instance=there.machine.name)


def _without_disk(there: Found, account: Account) -> FarmError:
    name, zone = there.machine.name, there.zone
    lacking = f"the farm's disk {account.manager_disk} is not attached to machine {name} in {zone}"
    return FarmError(
        f"{lacking}: delete the machine with `gcloud compute instances delete {name} --zone {zone} --keep-disks=data`,"
        " and make it anew"
    )
