"""The Manager's own machine on EC2 (the contract's ManagerHost): one on-demand machine with one lasting disk.

The machine comes first where there is no disk yet, so that any zone with capacity will do; from then on the disk
decides the zone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.aws import described, labels
from blendnet.provision.aws.bucket import Bucket
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.machines import ENDING, LIVING
from blendnet.provision.aws.manager_found import Described, Found, preferred, zone_of
from blendnet.provision.aws.manager_launch import ManagerLauncher, advised
from blendnet.provision.aws.manager_requests import DEVICE, DISK, MACHINE, disk_request
from blendnet.provision.aws.network import Network
from blendnet.provision.aws.options import Options
from blendnet.provision.aws.patience import Sleep, again, end_machines, until
from blendnet.provision.aws.trouble import code_of, explained
from blendnet.provision.bootstrap_manager import Site
from blendnet.provision.manager_machine import BUNDLE, PUBLISHED, SETTINGS, ManagerMachine, ManagerWanted
from blendnet.provision.stock import Bundle

NOT_YET = ("IncorrectState", "IncorrectInstanceState", "InvalidVolume.NotFound", "InvalidInstanceID.NotFound")
"""Codes of EC2 for what was ordered a moment ago and is not ready, or not known everywhere."""
IN_USE = "VolumeInUse"
"""Code of EC2 for a disk that a machine has, also one that is just ending."""
BUNDLE_S = 3600.0
"""So long is the bundle's address valid: a machine fetches it at its first boot, and as its own role after that."""
ROLE_URL = "http://169.254.169.254/latest"


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
        sleep: Sleep,
    ) -> None:
        """`account`: asks for the account's number."""
        self._clients = clients
        self._own = own
        self._network = network
        self._options = options
        self._account = account
        self._sleep = sleep
        self._found = Found(clients, own)
        self._launcher = ManagerLauncher(clients, own, network, options, self._found, clock=clock, sleep=sleep)
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

    def check(self, wanted: ManagerWanted) -> None:
        """As the contract says."""
        self._launcher.check(wanted, self._found.disk())

    def bring(self, bundle: Path, sha256: str) -> Bundle:
        """As the contract says; the address is signed with the user's own login, and later ones by the machine."""
        url = self._bucket.hand_out(self._account(), BUNDLE, bundle, BUNDLE_S)
        return Bundle(url=url, sha256=sha256, role_url=ROLE_URL, region=self._own.region)

    def ensure(self, wanted: ManagerWanted) -> ManagerMachine:
        """As the contract says. A second machine that a crash has left is ended, a disk that is too small grows.

        Raises also UserError: the zone is not one of the farm's, or not the disk's.
        """
        disk = self._found.disk()
        machine = self._the_one(disk)
        if machine is None:
            until(lambda: not self._found.machines(ENDING), "the Manager's last machine has not ended", self._sleep)
            machine = self._launcher.launch(wanted, disk)
        if disk is None:
            disk = self._make_disk(machine, wanted)
        self._enlarge(disk, wanted.disk_gb)
        self._give_disk(machine, disk)
        self._power_on(machine)
        return self.look()

    def look(self) -> ManagerMachine:
        """As the contract says."""
        return self._found.look()

    def start(self) -> ManagerMachine:
        """As the contract says; a disk that is missing is made in the usual size."""
        disk = self._found.disk()
        machine = preferred(self._found.machines(LIVING), disk)
        if machine is None:
            raise FarmError(f"farm {self._own.farm} has no Manager's machine: `blendnet cloud up` makes one")
        self._give_disk(machine, disk or self._make_disk(machine, ManagerWanted(user_data="")))
        self._power_on(machine)
        return self.look()

    def stop(self) -> ManagerMachine:
        """As the contract says; one that is still starting is waited for."""
        if ids := [item["InstanceId"] for item in self._found.machines(("pending", "running"))]:
            with explained("stop the Manager's machine"):
                again(partial(self._ec2.stop_instances, InstanceIds=ids), _not_yet, self._sleep)
        return self.look()

    def destroy(self) -> None:
        """As the contract says."""
        end_machines(self._clients, self._found.filters(), self._sleep)

    def log(self) -> str:
        """Of the newest machine; EC2 has it for about an hour after its end."""
        newest = self._found.newest()
        return described.console(self._clients, newest["InstanceId"], "the Manager's machine") if newest else ""

    def published(self) -> bytes | None:
        """As the contract says."""
        return self._bucket.read(self._account(), PUBLISHED)

    def settings(self) -> bytes | None:
        """As the contract says."""
        return self._bucket.read(self._account(), SETTINGS)

    def keep_settings(self, data: bytes) -> None:
        """As the contract says."""
        self._bucket.put(self._account(), SETTINGS, data)

    def rehearsals(self) -> dict[str, Callable[[], object]]:
        """Action -> the call that needs it, as a rehearsal: EC2 says whether it is permitted, and does nothing.

        Raises FarmError: EC2 does not say what there is.
        """
        zone = next(iter(self._network.subnets()))
        found: dict[str, Callable[[], object]] = {
            "ec2:RunInstances": self._launcher.rehearse,
            "ec2:CreateVolume": partial(self._ec2.create_volume, **disk_request(self._own, zone, 1), DryRun=True),
        }
        made = self.look()
        if made.id and made.disk:
            ids = {"InstanceIds": [made.id], "DryRun": True}
            attached = {"InstanceId": made.id, "VolumeId": made.disk, "Device": DEVICE, "DryRun": True}
            found["ec2:AttachVolume"] = partial(self._ec2.attach_volume, **attached)
            found["ec2:StartInstances"] = partial(self._ec2.start_instances, **ids)
            found["ec2:StopInstances"] = partial(self._ec2.stop_instances, **ids)
        return found

    @property
    def _ec2(self) -> Any:
        return self._clients["ec2"]

    def _the_one(self, disk: Described | None) -> Described | None:
        """The machine to go on with, or None. Others cannot have the disk, and so nothing to lose: they are ended."""
        living = self._found.machines(LIVING)
        kept = preferred(living, disk)
        if surplus := [item["InstanceId"] for item in living if item is not kept]:
            with explained("end a second machine of the Manager"):
                self._ec2.terminate_instances(InstanceIds=surplus)
        return kept

    def _make_disk(self, machine: Described, wanted: ManagerWanted) -> Described:
        request = disk_request(self._own, zone_of(machine), wanted.disk_gb)
        token = labels.digest(self._own.farm, self._own.region, labels.DISK_ROLE, machine["InstanceId"])
        with explained("make the Manager's disk"):
            return dict(self._ec2.create_volume(**request, ClientToken=token))

    def _enlarge(self, disk: Described, size_gb: int) -> None:
        """Its file system grows at the machine's next start."""
        if int(disk["Size"]) < size_gb:
            with explained(f"enlarge the Manager's disk {disk['VolumeId']} to {size_gb} GB"):
                self._ec2.modify_volume(VolumeId=disk["VolumeId"], Size=size_gb)

    def _give_disk(self, machine: Described, disk: Described) -> None:
        """Attach the disk, when EC2 is ready for that; the machine waits for it."""
        from botocore.exceptions import ClientError

        id_, volume = machine["InstanceId"], disk["VolumeId"]
        if _has(machine, disk):
            return

        def attach() -> None:
            try:
                self._ec2.attach_volume(VolumeId=volume, InstanceId=id_, Device=DEVICE)
            except ClientError as error:
                # An earlier try may have done it, before EC2 showed that.
                if code_of(error) != IN_USE or not _has(machine, self._found.disk()):
                    raise

        with explained(f"attach the Manager's disk {volume} to {id_}"):
            again(attach, lambda error: _not_yet(error) or code_of(error) == IN_USE, self._sleep)

    def _power_on(self, machine: Described) -> None:
        """Start a machine that is stopped, or is about to be."""
        if machine["State"]["Name"] not in ("stopping", "stopped"):
            return
        run = partial(self._ec2.start_instances, InstanceIds=[machine["InstanceId"]])
        try:
            with explained("start the Manager's machine"):
                again(run, _not_yet, self._sleep)
        except FarmError as error:
            raise advised(error, self._own.region) from error


def _has(machine: Described, disk: Described | None) -> bool:
    attachments = (disk or {}).get("Attachments") or ()
    return any(attached["InstanceId"] == machine["InstanceId"] for attached in attachments)


def _not_yet(error: Any) -> bool:
    return code_of(error) in NOT_YET
