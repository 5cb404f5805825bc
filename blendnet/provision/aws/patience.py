"""Waiting for AWS: what was ordered takes seconds to be seen everywhere, and minutes to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from blendnet.errors import FarmError
from blendnet.provision.aws import described, labels
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.machines import ENDING, LIVING
from blendnet.provision.aws.trouble import explained
from blendnet.provision.pauses import pauses

RETRY_S = 5.0
"""Most between two tries."""
LIMIT_S = 300.0
"""Machines take minutes to end, and what they used cannot be deleted before."""

Sleep = Callable[[float], None]
Value = TypeVar("Value")


def again(call: Callable[[], Value], passing: Callable[[Any], bool], sleep: Sleep) -> Value:
    """Make a call, and make it again while it fails in a way that passes.

    Raises botocore's ClientError: another one, or the same for too long.
    """
    from botocore.exceptions import ClientError

    for pause_s in pauses(RETRY_S, limit_s=LIMIT_S):
        try:
            return call()
        except ClientError as error:
            if not passing(error):
                raise
        sleep(pause_s)
    return call()


def until(condition: Callable[[], bool], what: str, sleep: Sleep) -> None:
    """Wait for a condition. Raises FarmError that says what did not come about in time."""
    for pause_s in pauses(RETRY_S, limit_s=LIMIT_S):
        if condition():
            return
        sleep(pause_s)
    raise FarmError(f"{what} after {LIMIT_S / 60:.0f} minutes: look in the console of EC2, then try again")


def end_machines(clients: Clients, filters: described.Filters, sleep: Sleep) -> None:
    """Terminate all machines that filters find, and wait until they are gone. Raises FarmError."""
    filters = [*filters, described.in_states((*LIVING, *ENDING))]
    for pause_s in pauses(RETRY_S, limit_s=LIMIT_S):
        there = described.machines(clients, filters)
        if not there:
            return
        if ids := [item["InstanceId"] for item in there if item["State"]["Name"] in LIVING]:
            with explained("end the farm's machines"):
                clients["ec2"].terminate_instances(InstanceIds=ids)
            continue
        sleep(pause_s)
    raise FarmError(f"machines do not end: {labels.named([item['InstanceId'] for item in there])}")
