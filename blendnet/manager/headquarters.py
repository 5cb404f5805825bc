"""What a Manager on a machine of its own does besides its work: say where it is, and end when nothing is to be done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from blendnet.errors import UserError
from blendnet.manager.announce import Announcer
from blendnet.manager.attendance import Attendance
from blendnet.manager.fleet import LocalFleet
from blendnet.manager.idle import IdleWatch, Patience, Sight
from blendnet.manager.jobs import Farm
from blendnet.settings import Settings
from blendnet.storage.stores import open_bucket


class Headquarters:
    """Starts and stops both, as far as the settings ask for them."""

    def __init__(
        self, farm: Farm, fleet: LocalFleet, *, security: Path, port: int, renewed: Callable[[], None], outside: bool
    ) -> None:
        """`security`: folder of the authority; `port`: the API's; `renewed()`: the API's certificate is another one;
        `outside`: other machines reach the farm.

        Raises:
            UserError, FarmError: the settings contradict each other, or the bucket's SDK is not installed.
        """
        settings = farm.settings
        if settings.manager_bucket and not outside:
            raise UserError("BLENDNET_MANAGER_BUCKET says where the Manager is found: say at which address it listens, "
                            "with BLENDNET_LISTEN")  # fmt: skip
        self.attendance = Attendance()
        self._fleet = fleet
        self._announcer = self._make_announcer(settings, security, port, renewed)
        self._idle = IdleWatch(
            lambda: sight(farm, fleet, self.attendance),
            Patience(settings.manager_idle_s, settings.manager_attended_s),
            dismiss=self._dismiss,
            end=self._end,
            clock=time.time,
        )
        self._watches = settings.manager_idle_s > 0

    def start(self) -> None:
        """Begin. The API answers by now."""
        if self._announcer:
            self._announcer.start()
        if self._watches:
            self._idle.start()

    def stop(self) -> None:
        """End after the calls in progress."""
        self._idle.stop()
        if self._announcer:
            self._announcer.stop()

    def _make_announcer(
        self, settings: Settings, security: Path, port: int, renewed: Callable[[], None]
    ) -> Announcer | None:
        if not settings.manager_bucket:
            return None
        bucket = open_bucket(settings.manager_bucket)
        return Announcer(settings, security, bucket, port=port, renewed=renewed)

    def _dismiss(self, dismissed: bool) -> None:
        if self._fleet.loop:
            self._fleet.loop.retire(dismissed)

    def _end(self, why: str) -> None:
        self._fleet.stop()  # First: who submits a job now should not be told that it is taken.
        if self._announcer:
            self._announcer.say_ended(why)


def sight(farm: Farm, fleet: LocalFleet, attendance: Attendance) -> Sight:
    """What there is to do. Jobs that are paused, or get nothing because of a cap, are not it."""
    with farm.ledger.read() as tx:
        busy = [f"job {job.id} is {job.state.value}" for job in tx.jobs.running() if farm.gate.hands_out(job.id)]
        held = [f"chunk {chunk.id} is with {chunk.agent}" for chunk in tx.chunks.active() if chunk.agent]
    requests, asked_at = attendance.seen()
    machines = [row.name for row in fleet.loop.machines()] if fleet.loop else []
    return Sight([*busy, *held], requests, asked_at, machines)
