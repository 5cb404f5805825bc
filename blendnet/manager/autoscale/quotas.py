"""What the account may have, asked of the provider at a slow pace, and remembered while it does not answer."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from blendnet.provision.base import MachineType, Offer, Provider, Quota
from blendnet.provision.situation import Situation

log = logging.getLogger(__name__)

Run = Callable[[Callable[[], None]], None]
"""Carries out what it is given, now or in a moment."""

AGAIN_S = 30.0
"""An answer that was given while machines came or went may count them twice: it is asked for again after so long, where
nobody says otherwise."""


@dataclass(frozen=True)
class Allowance:
    """The last answer. `used` of its quotas is what others use than this farm's own machines."""

    quotas: Sequence[Quota] = ()
    types: Mapping[str, MachineType] = field(default_factory=dict)

    def takes(self, offer: Offer) -> dict[str, float]:
        """How much of which quotas a machine of that offer takes."""
        type_ = self.types.get(offer.machine)
        if type_ is None:
            return {}
        taken = {quota.name: quota.takes(type_, offer.spot) for quota in self.quotas}
        return {name: units for name, units in taken.items() if units > 0}

    def without(self, own: Iterable[Offer]) -> Allowance:
        """As told by a cloud that counts everybody's machines: `own` are this farm's among them."""
        taken = [self.takes(offer) for offer in own]
        return replace(self, quotas=[_of_others(quota, taken) for quota in self.quotas])


@dataclass(frozen=True)
class Limit:
    """A quota of the account, for people."""

    name: str
    limit: float | None
    used: float | None
    """By the farm's machines and all others; None: nobody knows."""
    unit: str
    holds: bool
    """Machines that the work is worth are not asked for because of it."""
    help: str


class Quotas:
    """Asks a provider. Clouds are slow to say this: the fleet goes on meanwhile with what it was told last."""

    def __init__(self, provider: Provider, every_s: float, run: Run | None = None, *, again_s: float = AGAIN_S) -> None:
        """`every_s`: seconds between two questions; `run`: where they are asked, a thread of their own if left out.

        `again_s`: after so long an answer is asked for again that may count machines twice.
        """
        self._provider = provider
        self._every_s = every_s
        self._again_s = again_s
        self._run = run or _in_a_thread
        self._asked_at = float("-inf")
        self._asking = threading.Lock()
        self._known = Allowance()
        self._answered: Counter[Offer] | None = None
        """The farm's machines when that was asked for which the last answer says, while nobody has looked since."""

    def look(self, now: float, own: Sequence[Offer]) -> Allowance:
        """What is known; asked anew when it is time. `own`: of the farm's machines that the cloud counts now."""
        answered, self._answered = self._answered, None
        if answered is not None and answered != Counter(own):
            self._asked_at = min(self._asked_at, now - self._every_s + self._again_s)
        if now - self._asked_at >= self._every_s and self._asking.acquire(blocking=False):
            self._asked_at = now
            self._run(lambda: self._ask(own))
        return self._known

    def _ask(self, own: Sequence[Offer]) -> None:
        try:
            quotas = self._provider.quotas()
            types = {type_.name: type_ for type_ in self._provider.machine_types()} if quotas else {}
            self._known, self._answered = Allowance(quotas, types).without(own), Counter(own)
        except Exception as error:  # noqa: BLE001  # Whatever it was: an unknown quota holds nobody back.
            log.warning("%s does not say its quotas, what it said before holds: %s", self._provider.name, error)
        finally:
            self._asking.release()


def limits_of(situation: Situation, held_by: Collection[str]) -> list[Limit]:
    """The quotas of a situation, with what the farm's own machines use of them now."""
    living = [machine.takes for machine in situation.machines if machine.is_living]
    return [
        Limit(
            quota.name,
            quota.limit,
            None if quota.used is None else quota.used + sum(takes.get(quota.name, 0.0) for takes in living),
            quota.unit,
            quota.name in held_by,
            quota.help,
        )
        for quota in situation.quotas
    ]


def _of_others(quota: Quota, taken: Iterable[Mapping[str, float]]) -> Quota:
    if quota.used is None:
        return quota
    return replace(quota, used=max(0.0, quota.used - sum(takes.get(quota.name, 0.0) for takes in taken)))


def _in_a_thread(task: Callable[[], None]) -> None:
    threading.Thread(target=task, name="quotas", daemon=True).start()
