"""The machines of a farm as Compute Engine lists them, with those that ended lately."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from blendnet.provision.base import DAY_S, Instance, InstanceState
from blendnet.provision.gcp.account import AGENT_ROLE, FARM_LABEL, ROLE_LABEL
from blendnet.provision.gcp.sdk import Google, word

STATES = {
    "PROVISIONING": InstanceState.STARTING,
    "STAGING": InstanceState.STARTING,
    "RUNNING": InstanceState.RUNNING,
    "REPAIRING": InstanceState.RUNNING,
    "PENDING": InstanceState.STARTING,
    "PENDING_STOP": InstanceState.STOPPING,
    "STOPPING": InstanceState.STOPPING,
    "SUSPENDING": InstanceState.STOPPING,
    "DEPROVISIONING": InstanceState.STOPPING,
    "SUSPENDED": InstanceState.STOPPING,
    "STOPPED": InstanceState.GONE,
    "TERMINATED": InstanceState.GONE,
}
"""Google's word -> ours. One that is not here counts as running: it may cost money."""

PREEMPTED = "compute.instances.preempted"
SHUTDOWN_S = 30.0
"""So long may a machine run on after this operation, which notes the notice."""

ENDS = {
    PREEMPTED: "preempted",
    "compute.instances.hostError": "host error",
    "compute.instances.terminateOnHostMaintenance": "host maintenance",
    "compute.instances.guestTerminate": "shut down from inside",
    "stop": "stopped",
    "delete": "deleted",
}
"""Kind of operation that ends a machine -> reason; the first that happened to it says why it ended."""

KEPT_S = DAY_S
"""So long is an end told."""
VANISHED = "no longer listed"


class Inventory:
    """Lists machines, and remembers those it saw: Google forgets what it deletes. Thread-safe."""

    def __init__(self, google: Google, clock: Callable[[], float] = time.time) -> None:
        self._google = google
        self._clock = clock
        self._seen: dict[str, Instance] = {}
        self.leftovers: Sequence[Instance] = ()
        """Machines that had stopped when `all` was last called, and were still listed: their disks cost."""
        self._lock = threading.Lock()

    def all(self) -> Sequence[Instance]:
        """All agents in all zones; those that ended within a day as GONE, with the reason.

        Raises:
            Refused: Google does not say, or not of all zones.
        """
        ended = self._ended()  # First: what ends after this question is still listed, or was seen.
        with self._lock:
            before = set(self._seen)
        living = list(self._living())
        self.leftovers = [one for one in living if one.state is InstanceState.GONE]
        return self._remember(living, ended, before)

    def in_zone(self, zone: str) -> Sequence[Instance]:
        """The agents that Google lists in one zone. Raises Refused."""
        what, filter_ = f"list the machines in {zone}", self._google.account.filter
        pages = self._google.pages("Instances", "list", what, zone=zone, filter=filter_)
        instances = [instance for page in pages for one in page.items if (instance := self._instance(one, zone))]
        with self._lock:
            self._seen.update({one.id: one for one in instances})
        return instances

    def raw(self) -> Iterable[tuple[str, Any]]:
        """Every machine that carries the farm's label, the Manager's too, with its zone.

        Raises:
            Refused: Google does not say, or not of all zones.
        """
        return self._google.aggregated("Instances", "instances")

    def _living(self) -> Iterable[Instance]:
        for zone, one in self.raw():
            if instance := self._instance(one, zone):
                yield instance

    def _instance(self, one: Any, zone: str) -> Instance | None:
        """An agent's machine; None for other machines."""
        labels = dict(one.labels)
        account = self._google.account
        name = account.agent_of(one.name)
        if not name or labels.get(FARM_LABEL) != account.farm or labels.get(ROLE_LABEL) != AGENT_ROLE:
            return None
        state = STATES.get(word(one.status), InstanceState.RUNNING)
        gone = state is InstanceState.GONE
        return Instance(
            name=name,
            state=state,
            id=one.name,
            machine=one.machine_type.rpartition("/")[2],
            zone=zone,
            spot=word(one.scheduling.provisioning_model) == "SPOT",
            launched_at=seconds(one.creation_timestamp),
            ended_at=seconds(one.last_stop_timestamp) if gone else None,
            reason=word(one.status).lower() if gone else "",
        )

    def _ended(self) -> dict[str, Instance]:
        """Machines of agents that operations of the last day ended, by Google's names: those it has deleted, too."""
        kinds = " OR ".join(f'(operationType="{kind}")' for kind in ENDS)
        ended: dict[str, Instance] = {}
        for page in self._google.pages("GlobalOperations", "aggregated_list", "say what ended", filter=kinds):
            for scope, found in page.items.items():
                for one in sorted(found.operations, key=lambda op: op.insert_time):
                    self._note(ended, scope.rpartition("/")[2], one)
        return ended

    def _note(self, ended: dict[str, Instance], zone: str, operation: Any) -> None:
        machine = operation.target_link.rpartition("/")[2]
        name = self._google.account.agent_of(machine)
        at = seconds(operation.end_time)
        failed = bool(operation.error.errors)
        if not name or at is None or failed or operation.operation_type not in ENDS or self._clock() - at > KEPT_S:
            return
        before = ended.get(machine)
        ended[machine] = Instance(
            name=name,
            state=InstanceState.GONE,
            id=machine,
            zone=zone,
            ended_at=min(at + SHUTDOWN_S, self._clock()) if operation.operation_type == PREEMPTED else at,
            reason=before.reason if before else ENDS[operation.operation_type],
        )

    def _remember(self, living: Sequence[Instance], ended: dict[str, Instance], before: set[str]) -> Sequence[Instance]:
        """What there is; `before`: what was known before the question. Those that came meanwhile are not gone."""
        now = self._clock()
        listed = {one.id: _explained(one, ended) for one in living}
        with self._lock:
            missing = {id_: one for id_, one in self._seen.items() if id_ not in listed}
            gone = {id_: _gone(one, ended.get(id_), now) if id_ in before else one for id_, one in missing.items()}
            told = {**ended, **listed, **gone}
            self._seen = {id_: one for id_, one in told.items() if now - (one.ended_at or now) <= KEPT_S}
            return list(self._seen.values())


def seconds(stamp: str) -> float | None:
    """Seconds since the epoch of Google's time stamp; None for ''. PURE."""
    return datetime.fromisoformat(stamp).timestamp() if stamp else None


def _gone(seen: Instance, ended: Instance | None, now: float) -> Instance:
    """A machine that was seen before and is not listed any more."""
    if seen.state is InstanceState.GONE and seen.reason != VANISHED:
        return seen
    if ended:
        return replace(seen, state=InstanceState.GONE, ended_at=ended.ended_at, reason=ended.reason)
    if seen.state is InstanceState.GONE:
        return seen
    return replace(seen, state=InstanceState.GONE, ended_at=now, reason=VANISHED)


def _explained(one: Instance, ended: dict[str, Instance]) -> Instance:
    """A stopped machine that is still listed, with why it stopped."""
    why = ended.get(one.id)
    return replace(one, reason=why.reason) if why and one.state is InstanceState.GONE else one
