"""When a Manager on a machine of its own has nothing to do and ends: first its agents, then itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from blendnet.errors import BlendNetError
from blendnet.manager.background import Background

log = logging.getLogger(__name__)

LOOK_S = 5.0
DISMISS_LIMIT_S = 1200.0
"""Longer than agents outlive a silent Manager (15 min): what is not confirmed gone by then has ended itself."""


@dataclass(frozen=True)
class Patience:
    """How long a Manager stays without work. Seconds."""

    idle_s: float
    """0: for ever."""
    attended_s: float
    """After an owner's last request."""


@dataclass(frozen=True)
class Sight:
    """What there is to do, as of one look."""

    busy: Sequence[str] = ()
    """What keeps the Manager up, in words; jobs that are paused or wait for money are not among it."""
    requests: int = 0
    """Owners' requests that are being answered, downloads and uploads among them."""
    asked_at: float = float("-inf")
    """When an owner's last request ended, or the Manager started."""
    machines: Sequence[str] = ()
    """Agents' machines that cost money, or may."""


class Step(str, Enum):
    """What an idle Manager does."""

    STAY = "stay"
    DISMISS = "dismiss"
    """Ask for no machine, and end those that there are."""
    END = "end"


@dataclass(frozen=True)
class Standing:
    """What is remembered from look to look."""

    idle_since: float
    dismissing_since: float | None = None
    step: Step = Step.STAY
    why: str = ""
    """For people; '' while it stays."""


def next_step(before: Standing, sight: Sight, now: float, patience: Patience) -> Standing:
    """What is to be done now. PURE."""
    if sight.busy or patience.idle_s <= 0:
        return Standing(idle_since=now)
    idle_s = now - before.idle_since
    attended = sight.requests > 0 or now - sight.asked_at < patience.attended_s
    if attended or idle_s < patience.idle_s:
        return Standing(idle_since=before.idle_since)
    limit = f"BLENDNET_MANAGER_IDLE_S is {patience.idle_s:g} s"
    why = f"there was nothing to do for {while_text(idle_s)}, and {limit}"
    since = now if before.dismissing_since is None else before.dismissing_since
    standing = Standing(before.idle_since, since, Step.DISMISS, why)
    if not sight.machines:
        return replace(standing, step=Step.END)
    if now - since >= DISMISS_LIMIT_S:
        left = ", ".join(sight.machines)
        why = f"{why}; whether {left} are gone is not confirmed: they end themselves when the Manager is silent"
        return replace(standing, step=Step.END, why=why)
    return standing


def while_text(seconds: float) -> str:
    """How long, for people: '30 min', '1.5 min', '12 s'. PURE."""
    number, unit = (seconds / 60, "min") if seconds >= 60 else (seconds, "s")
    return f"{number:.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"


class IdleWatch(Background):
    """Looks every few seconds, in a thread of its own, and does what `next_step` says."""

    def __init__(
        self,
        look: Callable[[], Sight],
        patience: Patience,
        *,
        dismiss: Callable[[bool], None],
        end: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        """`dismiss(True)` lets no agent's machine come or stay, `dismiss(False)` takes it back; `end(why)` is called
        once, may call `stop`, and returns at once."""
        super().__init__("idle")
        self._look = look
        self._patience = patience
        self._dismiss = dismiss
        self._end = end
        self._clock = clock
        self._standing = Standing(idle_since=clock())

    def tick(self) -> Step:
        """One look, and what follows from it. Raises BlendNetError."""
        before = self._standing
        self._standing = now = next_step(before, self._look(), self._clock(), self._patience)
        if now.step is Step.DISMISS and before.step is not Step.DISMISS:
            log.info("the Manager is going to end, its agents before it: %s", now.why)
            self._dismiss(True)
        elif now.step is Step.STAY and before.step is Step.DISMISS:
            log.info("the Manager stays: there is something to do again")
            self._dismiss(False)
        elif now.step is Step.END:
            log.warning("the Manager ends itself: %s", now.why)
            self._end(now.why)
        return now.step

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                if self.tick() is Step.END:
                    return
            except BlendNetError as error:
                log.warning("whether there is anything to do is not known: %s", error)
            except Exception:
                # Whatever it was, an idle machine has to end some day.
                log.exception("while looking whether there is anything to do")
