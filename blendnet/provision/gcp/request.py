"""What is asked of Compute Engine for machines and disks. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blendnet.provision.base import Offer
from blendnet.provision.cloud_init import startup_script
from blendnet.provision.gcp.account import AGENT_ROLE, DISK_ROLE, MANAGER_ROLE, ROLE_LABEL, Account, region_of
from blendnet.provision.gcp.sdk import SCOPE

SHORTEST_LIFE_S = 30
LONGEST_LIFE_S = 120 * 86_400
"""What Google takes as maxRunDuration."""

HYPERDISK_ONLY = ("c4", "c4a", "c4d", "n4", "n4a", "n4d", "h4d", "x4", "a4", "a4x", "g4", "m4")
"""Families that cannot boot from a persistent disk."""
WITH_GPUS = ("a2", "a3", "a4", "a4x", "g2", "g4")
"""Families whose machines bring their GPUs."""

MANAGER_BOOT_GB = 20
DEVICE = "blendnet-data"
"""The Manager's lasting disk is /dev/disk/by-id/google-DEVICE on its machine."""
NEEDS_NO_SCRIPT = "#!/bin/bash\n! command -v cloud-init >/dev/null || exit 0\n"
"""Google's own Debian has no cloud-init, which alone reads the user data: there its guest agent runs a script, at each
boot."""


def bulk_request(
    account: Account, machines: Sequence[str], offer: Offer, user_data: str, lifetime_s: float
) -> dict[str, Any]:
    """Body of instances.bulkInsert: as many of `machines` (Google's names) as there are, in one zone."""
    return {
        "count": len(machines),
        "min_count": 1,
        "per_instance_properties": {name: {} for name in machines},
        "instance_properties": {
            "machine_type": offer.machine,
            "description": f"agent of BlendNet farm {account.farm}",
            "labels": {**account.labels, ROLE_LABEL: AGENT_ROLE},
            "tags": {"items": [account.agent_tag]},
            "disks": [_boot_disk(account, account.image, account.disk_gb, _disk_type(account, offer.machine))],
            "network_interfaces": [_interface(account, offer.zone, public=account.external_ip)],
            "scheduling": _scheduling(offer.spot, lifetime_s),
            "metadata": _metadata(user_data),
            "service_accounts": [],
            "shielded_instance_config": _shield(offer.machine),
        },
    }


def manager_request(account: Account, machine: str, zone: str, user_data: str, service_account: str) -> dict[str, Any]:
    """Body of instances.insert for the Manager's machine: its lasting disk is there, and stays when it goes."""
    kind = f"zones/{zone}/diskTypes/{_disk_type(account, machine)}"
    lasting = {
        "source": f"zones/{zone}/disks/{account.manager_disk}",
        "device_name": DEVICE,
        "mode": "READ_WRITE",
        "auto_delete": False,
    }
    return {
        "name": account.manager_name,
        "machine_type": f"zones/{zone}/machineTypes/{machine}",
        "description": f"Manager of BlendNet farm {account.farm}",
        "labels": {**account.labels, ROLE_LABEL: MANAGER_ROLE},
        "tags": {"items": [account.manager_tag]},
        "disks": [_boot_disk(account, account.manager_image, MANAGER_BOOT_GB, kind), lasting],
        "network_interfaces": [_interface(account, zone, public=True)],
        "scheduling": {
            "provisioning_model": "STANDARD",
            "automatic_restart": True,
            # Machines with GPUs cannot move to another host while they run.
            "on_host_maintenance": "TERMINATE" if has_gpus(machine) else "MIGRATE",
        },
        "metadata": _metadata(user_data),
        # What it may do is said by its role, not by the scope.
        "service_accounts": [{"email": service_account, "scopes": [SCOPE]}],
        "shielded_instance_config": _shield(machine),
    }


def disk_request(account: Account, machine: str, zone: str, size_gb: int) -> dict[str, Any]:
    """Body of disks.insert for the Manager's lasting disk, empty, of a type that `machine` takes."""
    return {
        "name": account.manager_disk,
        "description": f"Jobs and ledger of BlendNet farm {account.farm}",
        "labels": {**account.labels, ROLE_LABEL: DISK_ROLE},
        "size_gb": size_gb,
        "type_": f"zones/{zone}/diskTypes/{_disk_type(account, machine)}",
    }


def has_gpus(machine: str) -> bool:
    """True for machine types that bring GPUs."""
    return family_of(machine) in WITH_GPUS


def family_of(machine: str) -> str:
    """'n2d-highcpu-32' -> 'n2d'."""
    return machine.partition("-")[0]


def _scheduling(spot: bool, lifetime_s: float) -> dict[str, Any]:
    """Google deletes the machine when it takes it back, and when its time is over: the last seat-belt of the bill."""
    return {
        "provisioning_model": "SPOT" if spot else "STANDARD",
        "instance_termination_action": "DELETE",
        "automatic_restart": False,
        "on_host_maintenance": "TERMINATE",
        "max_run_duration": {"seconds": round(min(max(lifetime_s, SHORTEST_LIFE_S), LONGEST_LIFE_S))},
    }


def _shield(machine: str) -> dict[str, bool]:
    # The drivers of GPUs are not signed with a key that Secure Boot knows.
    return {"enable_vtpm": True, "enable_integrity_monitoring": True, "enable_secure_boot": not has_gpus(machine)}


def _disk_type(account: Account, machine: str) -> str:
    return account.disk_type or ("hyperdisk-balanced" if family_of(machine) in HYPERDISK_ONLY else "pd-balanced")


def _boot_disk(account: Account, image: str, size_gb: int, kind: str) -> dict[str, Any]:
    """`kind`: a name in a bulk request, a path in that for one machine."""
    return {
        "boot": True,
        "auto_delete": True,
        "initialize_params": {
            "source_image": image_path(image),
            "disk_size_gb": size_gb,
            "disk_type": kind,
            "labels": account.labels,
        },
    }


def _interface(account: Account, zone: str, *, public: bool) -> dict[str, Any]:
    interface: dict[str, Any] = {}
    if account.subnet:  # It belongs to one network: naming another would be refused.
        shared = "/" in account.subnet
        interface["subnetwork"] = (
            account.subnet if shared else f"regions/{region_of(zone)}/subnetworks/{account.subnet}"
        )
    else:
        interface["network"] = network_path(account.network)
    if public:
        interface["access_configs"] = [{"type_": "ONE_TO_ONE_NAT", "name": "External NAT"}]
    return interface


def image_path(image: str) -> str:
    """An image as the API names it: a name alone is one of the project's own."""
    return image if "/" in image else f"global/images/{image}"


def network_path(network: str) -> str:
    """A network as the API names it."""
    return network if "/" in network else f"global/networks/{network}"


def _metadata(user_data: str) -> dict[str, Any]:
    """cloud-init, and nobody's keys: neither the project's nor by the serial console."""
    values = {"block-project-ssh-keys": "TRUE", "enable-oslogin": "FALSE", "serial-port-enable": "FALSE"}
    if user_data:
        values |= {"user-data": user_data, "startup-script": NEEDS_NO_SCRIPT + startup_script(user_data)}
    return {"items": [{"key": key, "value": value} for key, value in values.items()]}
