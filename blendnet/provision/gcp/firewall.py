"""The firewall rules of a farm: the Manager's HTTPS from outside, its broker from agents alone, all else shut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blendnet.provision.bootstrap_manager import API_PORT
from blendnet.provision.gcp.account import EVERYWHERE, Account
from blendnet.provision.gcp.operations import Operations
from blendnet.provision.gcp.request import network_path
from blendnet.provision.gcp.sdk import Google, Refused

OPEN, SHUT = 900, 950
"""Priorities, the lower wins: before people's own rules (1000), and a default network's open SSH (65534)."""
WAIT_S = 120.0


class Firewall:
    """Makes and removes the rules."""

    def __init__(self, google: Google, operations: Operations) -> None:
        self._google = google
        self._operations = operations

    def ensure(self) -> None:
        """Make the rules, or set right those that are there. Raises Refused."""
        there = self.names()
        for rule in rules(self._google.account):
            known = {"firewall": rule["name"]} if rule["name"] in there else {}
            call = "patch_unary" if known else "insert_unary"
            what = f"make firewall rule {rule['name']}"
            operation = self._google.tell("Firewalls", call, what, firewall_resource=rule, **known)
            self._operations.check(operation, what, wait_s=WAIT_S)

    def names(self) -> Sequence[str]:
        """The rules of this farm that there are, by their names: rules have no labels. Raises Refused."""
        ours = {rule["name"] for rule in rules(self._google.account)}
        pages = self._google.pages("Firewalls", "list", "list firewall rules")
        return [one.name for page in pages for one in page.items if one.name in ours]

    def remove(self) -> None:
        """Remove them. Raises Refused."""
        for name in self.names():
            what = f"remove firewall rule {name}"
            try:
                operation = self._google.tell("Firewalls", "delete_unary", what, firewall=name)
            except Refused as error:
                if error.http_status != 404:
                    raise
            else:
                self._operations.check(operation, what, wait_s=WAIT_S)


def rules(account: Account) -> Sequence[dict[str, Any]]:
    """The rules as the API takes them. PURE.

    Agents reach the Manager by its internal address.
    """
    shared = {"network": network_path(account.network), "direction": "INGRESS"}
    manager, agent = [account.manager_tag], [account.agent_tag]
    https, broker = _tcp(API_PORT), _tcp(API_PORT, account.broker_port)
    return [
        {**shared, "name": f"bn-{account.farm}-https", "priority": OPEN, "description": "BlendNet: Manager's API",
         "source_ranges": list(account.allow), "target_tags": manager, "allowed": https},
        {**shared, "name": f"bn-{account.farm}-agents", "priority": OPEN, "description": "BlendNet: agents to Manager",
         "source_tags": agent, "target_tags": manager, "allowed": broker},
        {**shared, "name": f"bn-{account.farm}-closed", "priority": SHUT, "description": "BlendNet: nothing else",
         "source_ranges": [EVERYWHERE], "target_tags": [*manager, *agent], "denied": [{"I_p_protocol": "all"}]},
    ]  # fmt: skip


def _tcp(*ports: int) -> list[dict[str, Any]]:
    return [{"I_p_protocol": "tcp", "ports": [str(port) for port in ports]}]
