"""The lease of one attempt: kept by heartbeats from a thread, which also ends Blender calls that nobody wants."""

from __future__ import annotations

import contextlib
import enum
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator

from blendnet.agent.pace import worth_waiting
from blendnet.agent.shutdown import Shutdown
from blendnet.errors import BlendNetError, LeaseLost, NotFound
from blendnet.messages import ChunkAnswer
from blendnet.models import Action

logger = logging.getLogger(__name__)

TICK_S = 0.1
"""How soon the thread notices that the agent is to end."""
BEATS_PER_LEASE = 3
LONGEST_BEAT_S = 3.0
"""However long the lease is: what people want of a job reaches the agent within this time and a grace (GRACE_S)."""
REPEAT_S = 0.5
"""A heartbeat that did not get through is sent again so soon."""


class Halt(enum.Enum):
    """Why an attempt ends before its samples are done."""

    PAUSE = "the job was paused"
    """Commit after the running render call, give the rest back."""
    SHUTDOWN = "this agent ends"
    """Commit what there is, give the rest back."""
    CANCEL = "the job was canceled"
    """Drop everything."""
    LOST = "the lease was lost"
    """Somebody else owns the work: drop everything."""

    @property
    def drops_work(self) -> bool:
        """True when what was rendered and not committed is of no use to anybody."""
        return self in (Halt.CANCEL, Halt.LOST)

    @property
    def urgency(self) -> int:
        """A reason overrides those that are less urgent: a paused job does not keep an agent that has to end."""
        return 2 if self.drops_work else int(self is Halt.SHUTDOWN)


GRACE_S = {Halt.PAUSE: math.inf, Halt.CANCEL: 1.0, Halt.LOST: 1.0}
"""How long a render call that is almost done may still go on: that keeps Blender warm, or saves its samples.

How long with SHUTDOWN, the Shutdown says.
"""


def _never(_stop_at: int) -> bool:
    return False


class Lease:
    """A context manager: inside it the lease is renewed, and `halt` says when to stop. Thread-safe."""

    def __init__(
        self,
        beat: Callable[[], ChunkAnswer],
        *,
        lease_s: float,
        shutdown: Shutdown,
        end_call: Callable[[], None],
        shorten: Callable[[int], bool] = _never,
    ) -> None:
        """`beat` sends a heartbeat, `end_call` makes a running Blender call fail, `shutdown`: the agent is to end.

        `shorten` is told at which sample the Manager wants the chunk to end; True: it should hear soon that it does.
        """
        self._beat = beat
        self._beat_interval_s = min(lease_s / BEATS_PER_LEASE, LONGEST_BEAT_S)
        self._shutdown = shutdown
        self._end_call = end_call
        self._shorten = shorten
        self._beat_soon = threading.Event()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._call_ends_at: float | None = None
        self._calling = False
        self._halted_at = 0.0
        self.halt: Halt | None = None
        """Set once: why to stop."""
        self.finish: str | None = None
        """A merged frame of the same job that waits to be finished; whoever takes it up sets this to None."""
        self.dropped = threading.Event()
        """Set when the work is of no use any more: no point in sending anything."""
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def take(self, answer: ChunkAnswer) -> None:
        """Remember what the Manager wants."""
        if answer.action is Action.CANCEL:
            self.halted(Halt.CANCEL)
        elif answer.action is Action.PAUSE:
            self.halted(Halt.PAUSE)
        elif answer.action is Action.STOP and answer.stop_at is not None and self._shorten(answer.stop_at):
            self._beat_soon.set()
        self.finish = answer.finish

    def halted(self, reason: Halt) -> None:
        """Stop for `reason`, unless there is one already that is as urgent."""
        with self._lock:
            if self.halt is None or reason.urgency > self.halt.urgency:
                self.halt, self._halted_at = reason, time.monotonic()
        if reason.drops_work:
            self.dropped.set()

    @property
    def reason(self) -> str:
        """Why to stop, for people."""
        if self.halt is None:
            return "interrupted"
        return self._shutdown.why if self.halt is Halt.SHUTDOWN else self.halt.value

    @contextlib.contextmanager
    def calling(self, expected_s: float | None) -> Iterator[None]:
        """Around a Blender call that a halt may end; `expected_s`: how long it should take, None when unknown."""
        with self._lock:
            self._call_ends_at = None if expected_s is None else time.monotonic() + expected_s
            self._calling = True
        try:
            yield
        finally:
            with self._lock:
                self._calling = False

    def _keep(self) -> None:
        next_beat = time.monotonic() + self._beat_interval_s
        while not self._closed.wait(TICK_S):
            if self._shutdown.is_set():
                self.halted(Halt.SHUTDOWN)
            if self._beat_soon.is_set() or time.monotonic() >= next_beat:
                self._beat_soon.clear()
                heard = self._send_beat()
                next_beat = time.monotonic() + (self._beat_interval_s if heard else REPEAT_S)
            self._end_hopeless_call()

    def _send_beat(self) -> bool:
        """False when the Manager did not answer."""
        try:
            self.take(self._beat())
        except LeaseLost:
            self.halted(Halt.LOST)
        except NotFound:
            self.halted(Halt.CANCEL)
        except BlendNetError as error:
            # The Manager may be restarting: it gives agents time before it takes leases away.
            logger.warning("heartbeat failed: %s", error)
            return False
        return True

    def _end_hopeless_call(self) -> None:
        with self._lock:
            if not self._calling or self.halt is None:
                return
            now = time.monotonic()
            rest_s = None if self._call_ends_at is None else self._call_ends_at - now
            if worth_waiting(rest_s=rest_s, waited_s=0.0, grace_s=self._grace_left_s(self.halt, now)):
                return
            self._calling = False
            self._end_call()

    def _grace_left_s(self, halt: Halt, now: float) -> float:
        if halt is Halt.SHUTDOWN:
            return self._shutdown.left_s
        return GRACE_S[halt] - (now - self._halted_at)
