"""What is asked of Compute Engine for agents' machines. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blendnet.provision.base import Offer
from blendnet.provision.gcp.account import AGENT_ROLE, ROLE_LABEL, Account, region_of

SHORTEST_LIFE_S = 30
LONGEST_LIFE_S = 120 * 86_400
"""What Google takes as maxRunDuration."""

HYPERDISK_ONLY = ("c4", "c4a", "c4d", "n4", "n4a", "n4d", "h4d", "x4", "a4", "a4x", "g4", "m4")
"""Families that cannot boot from a persistent disk."""
WITH_GPUS = ("a2", "a3", "a4", "a4x", "g2", "g4")
"""Families whose machines bring their GPUs."""


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
            "disks": [_disk(account, offer.machine)],
            "network_interfaces": [_interface(account, offer.zone)],
            "scheduling": _scheduling(offer.spot, lifetime_s),
            "metadata": {"items": [{"key": key, "value": value} for key, value in _metadata(user_data).items()]},
            "service_accounts": [],
            "shielded_instance_config": {
                "enable_vtpm": True,
                "enable_integrity_monitoring": True,
                # The drivers of GPUs are not signed with a key that Secure Boot knows.
                "enable_secure_boot": not has_gpus(offer.machine),
            },
        },
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


def _disk(account: Account, machine: str) -> dict[str, Any]:
    kind = account.disk_type or ("hyperdisk-balanced" if family_of(machine) in HYPERDISK_ONLY else "pd-balanced")
    return {
        "boot": True,
        "auto_delete": True,
        "initialize_params": {
            "source_image": account.image,
            "disk_size_gb": account.disk_gb,
            "disk_type": kind,
            "labels": account.labels,
        },
    }


def _interface(account: Account, zone: str) -> dict[str, Any]:
    interface: dict[str, Any] = {}
    if account.subnet:  # It belongs to one network: naming another would be refused.
        shared = "/" in account.subnet
        interface["subnetwork"] = (
            account.subnet if shared else f"regions/{region_of(zone)}/subnetworks/{account.subnet}"
        )
    else:
        interface["network"] = network_path(account.network)
    if account.external_ip:
        interface["access_configs"] = [{"type_": "ONE_TO_ONE_NAT", "name": "External NAT"}]
    return interface


def network_path(network: str) -> str:
    """A network as the API names it."""
    return network if "/" in network else f"global/networks/{network}"


def _metadata(user_data: str) -> dict[str, str]:
    """cloud-init, and nobody's keys: neither the project's nor by the serial console."""
    closed = {"block-project-ssh-keys": "TRUE", "enable-oslogin": "FALSE", "serial-port-enable": "FALSE"}
    return {**({"user-data": user_data} if user_data else {}), **closed}
