"""What EC2 says that there is, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from blendnet.provision.aws import trouble
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.trouble import explained

Filters = Sequence[dict[str, Any]]

DELETED = ("deleting", "deleted")
"""States of a disk."""


def machines(clients: Clients, filters: Filters, doing: str = "list the farm's machines") -> list[dict[str, Any]]:
    """Machines that ended within about an hour are among them. Raises FarmError."""
    with explained(doing):
        pages = clients["ec2"].get_paginator("describe_instances").paginate(Filters=[*filters])
        return [item for page in pages for reservation in page["Reservations"] for item in reservation["Instances"]]


def in_states(states: Iterable[str]) -> dict[str, Any]:
    """Filter for machines in some of EC2's states. PURE."""
    return {"Name": "instance-state-name", "Values": [*states]}


def volumes(clients: Clients, filters: Filters) -> list[dict[str, Any]]:
    """Disks. Those that are being deleted, which EC2 lists for minutes, are none any more. Raises FarmError."""
    with explained("list the farm's disks"):
        pages = clients["ec2"].get_paginator("describe_volumes").paginate(Filters=[*filters])
        return [item for page in pages for item in page["Volumes"] if item["State"] not in DELETED]


def console(clients: Clients, id_: str, name: str) -> str:
    """What a machine has written on its console; EC2 has it for about an hour after its end. Raises FarmError."""
    from botocore.exceptions import ClientError

    ec2 = clients["ec2"]
    with explained(f"read the console of {name}"):
        try:
            return str(ec2.get_console_output(InstanceId=id_, Latest=True).get("Output") or "")
        except ClientError as error:
            if trouble.code_of(error) not in {"UnsupportedOperation", "InvalidParameterValue"}:
                raise
            # Only machines on Nitro tell what they say now; others what they said at their start.
            return str(ec2.get_console_output(InstanceId=id_).get("Output") or "")
