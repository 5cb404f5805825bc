"""What all attempts at work share: claiming it, calls of Blender that may be ended, the last word to the Manager."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import TypeVar

from blendnet.agent.failure import DISK, failure_report
from blendnet.agent.lease import Lease
from blendnet.agent.slot import Slot
from blendnet.agent.uploads import patiently
from blendnet.errors import BlenderError, BlendNetError, NotFound, Retryable
from blendnet.messages import ClaimRequest, FailureReport

logger = logging.getLogger(__name__)

CLAIM_PATIENCE_S = 30.0
"""How long a message waits for a Manager that does not answer; the reconciler publishes it again when it is back."""
LAST_WORD_PATIENCE_S = 10.0
"""How long an agent tries to tell why it stops; the lease lapses when it cannot."""

T = TypeVar("T")


class Outcome(enum.Enum):
    """What becomes of the message that brought the work."""

    DONE = "done"
    """Everything is stored: the chord may count it."""
    DROPPED = "dropped"
    """Not for this agent now (paused, canceled, failed, somebody else's): the ledger publishes it again if needed."""
    INTERRUPTED = "interrupted"
    """This agent ends: another one should take the message."""


class HaltedCall(Exception):
    """A Blender call was ended because the attempt has to stop; Lease.halt says why."""


def claim_work(slot: Slot, call: Callable[[ClaimRequest], T], *, task: str) -> T | None:
    """The Manager's answer to a claim; None when there is nothing to claim (any more) or nobody to ask."""
    request = ClaimRequest(agent=slot.name, task=task)
    try:
        return patiently(lambda: call(request), stop=slot.shutdown, patience_s=CLAIM_PATIENCE_S)
    except (NotFound, Retryable) as error:
        logger.warning("nothing claimed: %s", error)
        return None


def last_word(send: Callable[[], None], *, slot: Slot) -> None:
    """Tell the Manager how an attempt ended, if it can be told."""
    try:
        patiently(send, stop=slot.shutdown, patience_s=LAST_WORD_PATIENCE_S)
    except BlendNetError as error:
        logger.warning("the Manager did not take the last word: %s", error)


def failure_of(slot: Slot, token: int, error: Exception, *, progress: str = "") -> FailureReport:
    """The report of an error on this agent, which rests after it when its disk is full."""
    peak = slot.warm.peak_memory_bytes
    report = failure_report(token, error, folder=slot.folder, peak_memory_bytes=peak, progress=progress)
    slot.disk_full = report.kind == DISK
    return report


def ended_call(lease: Lease, call: Callable[[], T], *, expected_s: float | None) -> T:
    """The result of a Blender call that a halt may end. Raises HaltedCall then, else what `call` raises."""
    try:
        with lease.calling(expected_s):
            return call()
    except BlenderError as error:
        if lease.halt is not None:
            raise HaltedCall(lease.halt.value) from error
        raise
