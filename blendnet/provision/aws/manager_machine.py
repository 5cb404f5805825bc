"""The Manager's own machine on EC2 (the contract's ManagerHost): one on-demand machine with one lasting disk.

Both are found by their tags alone. The machine comes first where there is no disk yet, so that any zone with capacity
will do; from then on the disk decides the zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws import described, labels, quotas, trouble
from blendnet.provision.aws.bucket import Bucket
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.images import Images
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.launch_manager import DEVICE, DISK, MACHINE, disk_request, launch_request
from blendnet.provision.aws.machines import ENDING, LIVING, seconds
from blendnet.provision.aws.network import Network
from blendnet.provision.aws.options import Options
from blendnet.provision.aws.patience import RETRY_S, again, end_machines, until
from blendnet.provision.aws.trouble import code_of, explained
from blendnet.provision.base import DAY_S, Shortage
from blendnet.provision.bootstrap_manager import Site
from blendnet.provision.manager_machine import BUNDLE, PUBLISHED, ManagerMachine, ManagerState, ManagerWanted
from blendnet.provision.stock import Bundle

STATES = {
    "pending": ManagerState.STARTING,
    "running": ManagerState.RUNNING,
    "stopping": ManagerState.STOPPING,
    "stopped": ManagerState.STOPPED,
    "shutting-down": ManagerState.STOPPING,
}
NOT_YET = ("IncorrectState", "IncorrectInstanceState", "InvalidVolume.NotFound", "InvalidInstanceID.NotFound")
"""Codes of EC2 for what was ordered a moment ago and is not ready, or not known everywhere."""
ENDED, MISMATCH = "IdempotentInstanceTerminated", "IdempotentParameterMismatch"
"""Codes of EC2 for a client token that was used before: its machine has ended, or was asked for otherwise."""
BUNDLE_S = 3600.0
"""So long is the bundle's address valid: a machine fetches it at its first boot."""
LIVES = 20
"""Machines that a farm may have had in one zone on one day; each has a client token of its own."""

LOOKS = 3
"""So often a machine that EC2 knows is looked for before another is made."""

Described = Mapping[str, Any]
"""A machine or a disk, as EC2 describes it."""


class ManagerHost:
    """The Manager's machine of one farm in one region."""

    def __init__(
        self,
        clients: Clients,
        own: Labels,
        network: Network,
        options: Options,
        *,
        account: Callable[[], str],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """`account`: asks for the account's number."""
        self._clients = clients
        self._own = own
        self._network = network
        self._options = options
        self._account = account
        self._clock = clock
        self._sleep = sleep
        self._bucket = Bucket(clients, own)

    def site(self) -> Site:
        """As the contract says."""
        return Site(
            cloud="aws",
            region=self._own.region,
            bucket=f"s3://{self._own.bucket(self._account())}",
            disk=DISK,
            machine=MACHINE,
            broker_port=int(self._options.broker_port),
            options=self._options.for_the_manager(),
            environment={"AWS_REGION": self._own.region, "AWS_DEFAULT_REGION": self._own.region},
        )

    def bring(self, bundle: Path, sha256: str) -> Bundle:
        """As the contract says; the address is signed with the user's own login."""
        url = self._bucket.hand_out(self._own.bucket(self._account()), BUNDLE, bundle, BUNDLE_S)
        return Bundle(url=url, sha256=sha256)

    def ensure(self, wanted: ManagerWanted) -> ManagerMachine:
        """As the contract says. A second machine that a crash has left is ended.

        Raises also UserError: the zone is not one of the region's, or not the disk's.
        """
        disk = self._disk()
        machine = self._the_one(disk)
        if machine is None:
            until(lambda: not self._machines(ENDING), "the Manager's last machine has not ended", self._sleep)
            machine = self._launch(wanted, disk)
        self._give_disk(machine, disk or self._make_disk(machine, wanted))
        self._power_on(machine)
        return self.look()

    def look(self) -> ManagerMachine:
        """As the contract says."""
        disk = self._disk()
        living = self._machines(LIVING)
        machine = _preferred(living, disk) or next(iter(self._machines(ENDING)), None)
        kept = {"disk": disk["VolumeId"], "disk_gb": int(disk["Size"])} if disk else {}
        if machine is None:
            return ManagerMachine(state=ManagerState.ABSENT, **kept)
        return ManagerMachine(
            state=STATES[machine["State"]["Name"]],
            id=machine["InstanceId"],
            machine=machine.get("InstanceType", ""),
            zone=_zone(machine),
            address=machine.get("PublicIpAddress", ""),
            started_at=seconds(machine.get("LaunchTime")),
            **kept,
        )

    def start(self) -> ManagerMachine:
        """As the contract says."""
        disk = self._disk()
        machine = _preferred(self._machines(LIVING), disk)
        if machine is None:
            raise FarmError(f"farm {self._own.farm} has no Manager's machine: `blendnet cloud up` makes one")
        if disk is not None:
            self._give_disk(machine, disk)
        self._power_on(machine)
        return self.look()

    def stop(self) -> ManagerMachine:
        """As the contract says; one that is still starting is waited for."""
        ids = [item["InstanceId"] for item in self._machines(("pending", "running"))]
        if ids:
            with explained("stop the Manager's machine"):
                again(partial(self._ec2.stop_instances, InstanceIds=ids), _not_yet, self._sleep)
        return self.look()

    def destroy(self) -> None:
        """As the contract says."""
        end_machines(self._clients, self._filters(labels.MANAGER_ROLE), self._sleep)

    def log(self) -> str:
        """Of the newest machine; EC2 has it for about an hour after its end."""
        found = described.machines(self._clients, self._filters(labels.MANAGER_ROLE))
        found.sort(key=lambda item: (item["State"]["Name"] in LIVING, seconds(item.get("LaunchTime")) or 0.0))
        newest = found[-1] if found else None
        return described.console(self._clients, newest["InstanceId"], "the Manager's machine") if newest else ""

    def published(self) -> bytes | None:
        """As the contract says."""
        return self._bucket.read(self._own.bucket(self._account()), PUBLISHED)

    def rehearsals(self) -> dict[str, Callable[[], object]]:
        """Action -> the call that needs it, as a rehearsal: EC2 says whether it is permitted, and does nothing."""
        found: dict[str, Callable[[], object]] = {
            "ec2:RunInstances": self._rehearse_launch,
            "ec2:CreateVolume": self._rehearse_disk,
        }
        made = self.look()
        if made.id and made.disk:
            ids = {"InstanceIds": [made.id], "DryRun": True}
            attached = {"InstanceId": made.id, "VolumeId": made.disk, "Device": DEVICE, "DryRun": True}
            found["ec2:AttachVolume"] = partial(self._ec2.attach_volume, **attached)
            found["ec2:StartInstances"] = partial(self._ec2.start_instances, **ids)
            found["ec2:StopInstances"] = partial(self._ec2.stop_instances, **ids)
        return found

    def _rehearse_launch(self) -> None:
        image, group = self._image(), self._group()
        subnet = next(iter(self._network.subnets().values()))[0]
        request = launch_request("", self._own, machine=MACHINE, image=image, group=group, subnet=subnet)
        self._ec2.run_instances(**request, DryRun=True)

    def _rehearse_disk(self) -> None:
        zone = next(iter(self._network.subnets()))
        self._ec2.create_volume(**disk_request(self._own, zone, 1), DryRun=True)

    # --- what there is -----------------------------------------------------------------------------------------------
    @property
    def _ec2(self) -> Any:
        return self._clients["ec2"]

    def _filters(self, role: str) -> list[dict[str, Any]]:
        return labels.tag_filter(self._own.tags(role))

    def _machines(self, states: Sequence[str]) -> list[dict[str, Any]]:
        filters = [*self._filters(labels.MANAGER_ROLE), described.in_states(states)]
        return sorted(described.machines(self._clients, filters), key=lambda item: str(item.get("LaunchTime")))

    def _disk(self) -> Described | None:
        """The lasting disk: of several the one in use, else the oldest."""
        found = described.volumes(self._clients, self._filters(labels.DISK_ROLE))
        return min(found, key=lambda disk: (not disk.get("Attachments"), str(disk.get("CreateTime"))), default=None)

    def _the_one(self, disk: Described | None) -> Described | None:
        """The machine to go on with, or None. Others cannot have the disk, and so nothing to lose: they are ended."""
        living = self._machines(LIVING)
        kept = _preferred(living, disk)
        if surplus := [item["InstanceId"] for item in living if item is not kept]:
            with explained("end a second machine of the Manager"):
                self._ec2.terminate_instances(InstanceIds=surplus)
        return kept

    # --- what is made ------------------------------------------------------------------------------------------------
    def _launch(self, wanted: ManagerWanted, disk: Described | None) -> Described:
        """Start a machine in the first subnet that has one."""
        machine = wanted.machine or MACHINE
        image, group = self._image(), self._group()
        zones = self._zones(wanted, disk)
        for place, subnet in [(zone, subnet) for zone in zones for subnet in self._network.subnets()[zone]]:
            text = wanted.user_data
            request = launch_request(text, self._own, machine=machine, image=image, group=group, subnet=subnet)
            try:
                return self._run(request, place)
            except FarmError as error:
                if trouble.shortage(code_of(error.__cause__ or error)) is not Shortage.CAPACITY:
                    raise self._refused(error) from error
        where = f"in {labels.named(zones)}, where the farm's disk is" if disk else f"in {labels.named(zones)}"
        raise FarmError(f"EC2 has no {machine} left {where}: try again later, or take another machine type")

    def _run(self, request: dict[str, Any], zone: str) -> Described:
        """Carry out one RunInstances; a repetition of one that was broken off finds its machine."""
        from botocore.exceptions import ClientError

        day = str(int(self._clock() // DAY_S))
        for life in range(LIVES):
            token = labels.digest(self._own.farm, self._own.region, labels.MANAGER_ROLE, zone, day, str(life))
            run = partial(self._ec2.run_instances, **request, ClientToken=token)
            with explained("start the Manager's machine"):
                try:
                    return dict(again(run, _identity_not_known_yet, self._sleep)["Instances"][0])
                except ClientError as error:
                    if code_of(error) not in (ENDED, MISMATCH):
                        raise
                    code = code_of(error)
            if code == MISMATCH and (found := self._seen()):
                return found
        raise FarmError(f"the Manager's machine in {zone} was made and ended {LIVES} times today: try again tomorrow")

    def _seen(self) -> Described | None:
        """The machine of an earlier request, which EC2 shows some seconds later."""
        for _ in range(LOOKS):
            if found := self._machines(LIVING):
                return found[0]
            self._sleep(RETRY_S)
        return None

    def _make_disk(self, machine: Described, wanted: ManagerWanted) -> Described:
        zone = _zone(machine)
        token = labels.digest(self._own.farm, self._own.region, labels.DISK_ROLE, machine["InstanceId"])
        with explained("make the Manager's disk"):
            return dict(self._ec2.create_volume(**disk_request(self._own, zone, wanted.disk_gb), ClientToken=token))

    def _give_disk(self, machine: Described, disk: Described) -> None:
        """Attach the disk, when EC2 is ready for that; the machine waits for it."""
        id_, volume = machine["InstanceId"], disk["VolumeId"]
        if any(attached["InstanceId"] == id_ for attached in disk.get("Attachments") or ()):
            return
        attach = partial(self._ec2.attach_volume, VolumeId=volume, InstanceId=id_, Device=DEVICE)
        with explained(f"attach the Manager's disk {volume} to {id_}"):
            again(attach, lambda error: _not_yet(error) or code_of(error) == "VolumeInUse", self._sleep)

    def _power_on(self, machine: Described) -> None:
        """Start a machine that is stopped, or is about to be."""
        if machine["State"]["Name"] not in ("stopping", "stopped"):
            return
        run = partial(self._ec2.start_instances, InstanceIds=[machine["InstanceId"]])
        try:
            with explained("start the Manager's machine"):
                again(run, _not_yet, self._sleep)
        except FarmError as error:
            raise self._refused(error) from error

    def _refused(self, error: FarmError) -> FarmError:
        """With the next step, where AWS' words name none."""
        shortage, words = trouble.shortage(code_of(error.__cause__ or error)), str(error).rstrip(".")
        if shortage is Shortage.QUOTA:
            page = quotas.ON_DEMAND.console(self._own.region)
            return FarmError(f"{words}: ask for more at {page}, or take a smaller machine type")
        if shortage is Shortage.CAPACITY:
            return FarmError(f"{words}: try again later, its disk keeps everything meanwhile")
        return error

    def _image(self) -> Mapping[str, Any]:
        return Images(self._clients).stock(self._options.manager_image, "manager_image")

    def _group(self) -> str:
        """Security group of the Manager."""
        found = [g["GroupId"] for g in self._network.groups() if g["GroupName"] == self._own.manager_group]
        if not found:
            raise FarmError(
                f"farm {self._own.farm} is not set up in {self._own.region}: `blendnet cloud prepare` does it"
            )
        return str(found[0])

    def _zones(self, wanted: ManagerWanted, disk: Described | None) -> Sequence[str]:
        """Where the machine may stand."""
        known = sorted(self._network.subnets())
        if disk and wanted.zone not in ("", disk["AvailabilityZone"]):
            raise UserError(
                f"the Manager's disk {disk['VolumeId']} is in {disk['AvailabilityZone']}, and disks do not move to "
                f"{wanted.zone}: leave the zone out"
            )
        zone = disk["AvailabilityZone"] if disk else wanted.zone
        if zone and zone not in known:
            raise UserError(f"the farm has no subnet in the zone {zone!r}: one of {labels.named(known)}")
        return [zone] if zone else known


def _preferred(living: Sequence[Described], disk: Described | None) -> Described | None:
    """The machine that has the disk, else the oldest that can have it. PURE."""
    if disk is None:
        return next(iter(living), None)
    users = [attached["InstanceId"] for attached in disk.get("Attachments") or ()]
    able = [item for item in living if _zone(item) == disk["AvailabilityZone"]]
    return next((item for item in able if item["InstanceId"] in users), next(iter(able), None))


def _zone(machine: Described) -> str:
    return str(machine["Placement"]["AvailabilityZone"])


def _not_yet(error: Any) -> bool:
    return code_of(error) in NOT_YET


def _identity_not_known_yet(error: Any) -> bool:
    """EC2 hears of new instance profiles and security groups some seconds later than their makers."""
    words = str(error.response.get("Error", {}).get("Message", "")).lower()
    unknown_profile = code_of(error) == "InvalidParameterValue" and "instance profile" in words
    return unknown_profile or code_of(error) == "InvalidGroup.NotFound"
