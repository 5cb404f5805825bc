"""The loop of the fleet: look what machines there are, decide, carry it out. In a thread of its own: clouds are slow.

Every step may fail or be the last one before the Manager dies: what is asked for is in the book before, and what a
machine really is says the provider's list.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from blendnet.errors import BlendNetError, FarmError
from blendnet.manager.autoscale.market import UNTOLD, Market
from blendnet.manager.autoscale.memory import Memory, asked_offer
from blendnet.manager.autoscale.quotas import Limit, limits_of
from blendnet.manager.autoscale.view import Times, situation_of, wants_gpu
from blendnet.manager.autoscale.zones import dearest_zone_priced, real_offer
from blendnet.manager.background import Background
from blendnet.manager.jobs import Farm
from blendnet.manager.ledger import InstanceRow
from blendnet.manager.ledger.agents import GONE
from blendnet.manager.supervise import boot_log_path
from blendnet.provision.base import DAY_S, Instance, InstanceState, Offer, Price, Provider, Wanted, free_names
from blendnet.provision.decision import Decision, Ending, Request, Why
from blendnet.provision.policy import Policy
from blendnet.provision.scaling import decide
from blendnet.provision.situation import Choice, Loss

log = logging.getLogger(__name__)

LEAST_PAUSE_S = 1.0
"""Changes in the farm do not wake the loop more often."""
TROUBLE_PAUSE_S = 15.0
"""Pause after a round that failed."""
_AMOUNT = re.compile(r"\d+(?:\.\d+)?(?= (?:s|min|h|USD)\b)")
NOT_GIVEN = "not given"


class Gate(Protocol):
    """How a machine becomes an agent, and is no longer one."""

    new_names: bool
    """No machine gets the name of an agent that is remembered."""

    def user_data(self, name: str, lifetime_s: float, *, gpu: bool) -> str:
        """What the machine of that name is told at its start. Raises BlendNetError.

        `gpu`: it may have a GPU that needs NVIDIA's driver.
        """
        ...

    def shut_out(self, name: str, now: float) -> None:
        """The machine is gone: nobody may pose as its agent."""
        ...


@dataclass(frozen=True)
class FleetState:
    """What the loop did last, for people."""

    provider: str
    at: float = 0.0
    """When it decided; 0: not yet."""
    explain: Sequence[str] = ()
    stopped: str = ""
    """Why nothing is asked for until a person has looked; '' when it goes on."""
    trouble: str = ""
    """What kept the last round from its end; '' when nothing did."""
    limits: Sequence[Limit] = ()
    """What the account may have, as far as it is known."""


class FleetLoop(Background):
    """Keeps the fleet of one provider as the decision wants it. `state` may be read at any time."""

    def __init__(
        self,
        farm: Farm,
        provider: Provider,
        market: Market,
        gate: Gate,
        policy: Policy,
        times: Times,
        *,
        poll_s: float,
        logs: Path,
        place: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`poll_s`: the provider is asked for its machines so often; `logs`: where boot logs are kept; `place`: where
        of the provider's places, as the book has it."""
        super().__init__("fleet")
        self._farm = farm
        self._provider = provider
        self._market = market
        self._gate = gate
        self._policy = policy
        self._times = times
        self._poll_s = poll_s
        self._place = place
        self._logs = logs
        self._clock = clock
        self._book = farm.instances.of(provider.name, place)
        self._memory = Memory.of(self._book.taken_since(clock() - DAY_S), self._book.living(), clock())
        self._listed_at = float("-inf")
        self._dismissed = False
        self.state = FleetState(provider.name)
        self.retired = False
        """No machine is asked for, and those that there are end."""

    @property
    def where(self) -> tuple[str, str]:
        """Provider and place of its machines."""
        return self._provider.name, self._place

    def start(self) -> None:
        """Begin."""
        self._farm.expected_agents = self._policy.max
        super().start()

    def dismiss(self) -> None:
        """The farm is about to end for good: `stop` ends all machines, too. Without it they wait for the next Manager,
        or for the silence after which they end themselves."""
        self._dismissed = True

    def stop(self) -> None:
        """End after the step in progress."""
        super().stop()
        if self._dismissed and (trouble := self._tried(self._end_all)):
            log.warning("machines may run on until they end themselves, or until the next `blendnet up`: %s", trouble)
        self._dismissed = False

    def _wake(self) -> None:
        self._farm.changes.note()

    def _end_all(self) -> None:
        rows = self._book.living()
        if rows:
            log.info("the farm ends, and with it %s", ", ".join(row.name for row in rows))
            self._tried(partial(self._note_told, rows))
            self._provider.destroy([row.name for row in rows])
            self._look(self._clock())

    def retire(self, retired: bool) -> None:
        """Let all machines end and no other come, or take that back."""
        self.retired = retired
        self._farm.changes.note()

    def go_on(self) -> None:
        """A person has looked at what was refused: ask again."""
        self._memory.looked_at = self._clock()
        self._farm.changes.note()

    def remove(self, name: str) -> bool:
        """A person wants the machine of that name to end; False when there is none. Work that is left gets another."""
        found = {row.id for row in self.machines() if row.name == name}
        self._memory.unwanted |= found
        self._farm.changes.note()
        return bool(found)

    def machines(self) -> list[InstanceRow]:
        """The provider's machines that cost money, or may."""
        return self._book.living()

    def _run(self) -> None:
        while not self._stopping.is_set():
            seen = self._farm.changes.count
            wait_s = self._round()
            self._stopping.wait(LEAST_PAUSE_S)
            self._farm.changes.wait(seen, max(0.0, min(wait_s, self._poll_s) - LEAST_PAUSE_S))

    def _round(self) -> float:
        """One round; seconds until the next one is due."""
        try:
            return self.tick(self._clock())
        except BlendNetError as error:
            log.warning("the fleet waits: %s", error)
            self.state = replace(self.state, trouble=str(error))
        except Exception as error:
            # Whatever it was, machines have to be ended and counted.
            log.exception("in the fleet's loop")
            self.state = replace(self.state, trouble=f"{type(error).__name__}: {error}")
        return TROUBLE_PAUSE_S

    def tick(self, now: float) -> float:
        """Look, decide, act; seconds until the next decision is due.

        Raises:
            BlendNetError: the provider does not say what machines there are; nothing was done then.
        """
        self._memory.note_round(now, self._poll_s)
        if now - self._listed_at >= self._poll_s:
            self._look(now)
        self._price_zones(now)
        rows = self._book.living()
        self._memory.note_living(rows, now)
        choices, trouble = self._choices(now)
        allowance = self._market.allowance(now, [asked_offer(row) for row in rows])
        if not self.retired:
            self._farm.gate.begin_decision()
        situation = situation_of(self._farm, rows, choices, self._memory, self._times, now, allowance)
        policy = replace(self._policy, min=0, max=0) if self.retired else self._policy
        decision = decide(situation, policy)
        if self._note_losses(decision, rows):
            # What replaces them is to be asked for elsewhere.
            situation = situation_of(self._farm, rows, choices, self._memory, self._times, now, allowance)
            decision = decide(situation, policy)
        troubles = [*trouble, *self._carry_out(decision, rows, choices)]
        said = {_gist(line) for line in self.state.explain}
        for line in decision.explain:
            if _gist(line) not in said:
                log.info("fleet: %s", line)
        self.state = FleetState(
            self._provider.name,
            now,
            decision.explain,
            decision.stopped,
            "; ".join(dict.fromkeys(troubles)),
            limits_of(situation, decision.held_by),
        )
        return decision.wait_s

    def _choices(self, now: float) -> tuple[Sequence[Choice], list[str]]:
        """What may be asked for, and why it is nothing: machines have to be ended in time even then."""
        found: list[Choice] = []
        trouble = self._tried(lambda: found.extend(self._market.choices(now, gpu=wants_gpu(self._farm))))
        return found, [trouble] if trouble else []

    def _look(self, now: float) -> None:
        """Settle the book with the provider's word; give the work of machines that are gone to others."""
        before = {row.id: row for row in self._book.living()}
        instances = self._provider.list()
        prices = self._prices(self._book.lacks(instances), now)
        orphans = self._book.note_listing(instances, now, prices=prices, settled_s=self._times.settled_s)
        self._listed_at = now
        for name in orphans:
            log.warning("machine %s belongs to nobody: it is counted, and ended", name)
        left = {row.id for row in self._book.living()}
        for row in before.values():
            if row.id not in left:
                self._gone(row, now)

    def _price_zones(self, now: float) -> None:
        """Machines that were asked for in any zone cost what they cost where they came to be."""
        rows = dearest_zone_priced(self._book.living(), self._memory.zoned, now)
        if not rows:
            return
        self._memory.zoned |= {row.id for row in rows}
        try:
            prices = self._market.prices([real_offer(row) for row in rows], now)
        except BlendNetError as error:
            log.warning("machines go on at the price of the dearest zone: %s", error)
            return
        self._book.price({row.id: prices[real_offer(row)] for row in rows if real_offer(row) in prices})

    def _prices(self, orphans: Sequence[Instance], now: float) -> Mapping[Offer, Price]:
        """What machines cost that nobody has asked for, as far as somebody knows."""
        if not orphans:
            return {}
        try:
            return self._market.prices([Offer(of.machine, of.zone, of.spot) for of in orphans], now)
        except BlendNetError as error:
            log.warning("nobody knows what %s cost: %s", ", ".join(of.name for of in orphans), error)
            return {}

    def _gone(self, row: InstanceRow, now: float) -> None:
        self._farm.agent_lost(row.name, now)
        self._gate.shut_out(row.name, now)
        told = row.id in self._memory.doomed or row.id in self._memory.leaving
        if row.id in self._memory.taken:
            self._book.note_taken(row.id)
        elif not told and row.launched_at is not None and row.spot:
            self._book.note_taken(row.id)
            self._memory.lost(asked_offer(row), now, Loss.PREEMPTED, "taken back")

    def _note_losses(self, decision: Decision, rows: Sequence[InstanceRow]) -> bool:
        """Machines of which no agent came, or whose agent is silent: True when there are new ones."""
        useless = {end.name: end for end in decision.destroy if end.why in (Why.NEVER_JOINED, Why.SILENT)}
        found = [row for row in rows if row.name in useless and row.id not in self._memory.doomed]
        for row in found:
            self._memory.doomed.add(row.id)
            self._memory.lost(asked_offer(row), self._clock(), Loss.NEVER_JOINED, useless[row.name].reason)
        return bool(found)

    def _carry_out(self, decision: Decision, rows: Sequence[InstanceRow], choices: Sequence[Choice]) -> list[str]:
        """All of it, in the order in which it saves most; what did not work."""
        # Those that end begin nothing either: it would be rendered again.
        if not self.retired:
            self._farm.gate.limit(decision.coming)
        ending = {row.name for row in rows if row.id in self._memory.ending}
        self._farm.draining = frozenset({end.name for end in (*decision.drain, *decision.destroy)} | ending)
        steps: list[Callable[[], None]] = []
        if decision.halt:
            steps.append(lambda: self._farm.halt({halt.job: halt.reason for halt in decision.halt}, self._clock()))
        if decision.destroy:
            steps.append(partial(self._destroy, decision.destroy, rows))
        kinds = {choice.offer: choice for choice in choices}
        taken = self._taken() if decision.create else set()
        for request in decision.create:
            names = free_names([*taken], request.count)
            taken |= {*names}
            steps.append(partial(self._create, request, names, kinds))
        return [trouble for step in steps if (trouble := self._tried(step))]

    def _taken(self) -> set[str]:
        """Names that no new machine may have."""
        agents = [agent for agent in self._farm.agents() if self._gate.new_names or agent.state not in GONE]
        return {*self._book.taken(), *self._farm.joined(), *(agent.name for agent in agents)}

    def _destroy(self, endings: Sequence[Ending], rows: Sequence[InstanceRow]) -> None:
        now, reasons = self._clock(), {ending.name: ending for ending in endings}
        # A name may be on two machines, when one of them is an orphan: both hear it.
        found = [(reasons[row.name], row) for row in rows if row.name in reasons]
        # Whatever keeps that from being written, they have to end.
        self._tried(partial(self._note_told, [row for _, row in found]))
        for ending, row in found:
            if ending.boot_log:
                self._keep_boot_log(row.name)
        self._provider.destroy([*reasons])
        # Not before: one that has not heard it is told at the next decision.
        self._memory.ending = {**dict.fromkeys((row.id for _, row in found), now), **self._memory.ending}
        self._look(self._clock())

    def _note_told(self, rows: Sequence[InstanceRow]) -> None:
        """Before the provider hears it: these end by the farm's own will, which the next Manager has to know."""
        self._memory.doomed |= {row.id for row in rows}
        with self._farm.ledger.write() as tx:
            tx.instances.note_told({row.id for row in rows}, self._clock())

    def _keep_boot_log(self, name: str) -> None:
        """Write down what a machine said while it started; it cannot be asked once it is gone."""
        try:
            text = self._provider.boot_log(name)
            boot_log_path(self._logs, name).write_text(text or "(the provider has no boot log)\n", "utf-8")
        except Exception:
            # Whatever it was, the machine has to end.
            log.exception("the boot log of %s is not kept", name)

    def _create(self, request: Request, names: Sequence[str], kinds: Mapping[Offer, Choice]) -> None:
        now, token = self._clock(), uuid.uuid4().hex
        # The book takes no price that nobody has named.
        prices = {offer: kind.price for offer, kind in kinds.items() if kind.price and kind.price.source != UNTOLD}
        # A stock image has no driver; where the cloud may choose, one that is not needed does no harm.
        gpu = any(kinds[offer].driver for offer in request.offers if offer in kinds)
        if self._stopping.is_set():
            return
        if request.usd_per_hour and (reason := self._farm.may_spend(0.0, now)):
            raise FarmError(f"no machine is asked for: {reason}")
        self._book.intend(names, request.offers, prices, token=token, job=request.job, now=now)
        wanted = Wanted(
            names=names,
            offers=request.offers,
            user_data=lambda name: self._gate.user_data(name, request.lifetime_s, gpu=gpu),
            lifetime_s=request.lifetime_s,
            token=token,
        )
        try:
            created = self._provider.create(wanted)
        except Exception as error:
            # Nobody knows what was made: the rows stay until the provider's lists have settled it.
            self._memory.troubled(request.offers[0], now, str(error) or type(error).__name__)
            self._listed_at = float("-inf")
            raise
        self._memory.refused(created.refusals, self._clock())
        self._book.note_created(created.instances, self._clock())
        given = {instance.name for instance in created.instances if instance.state is not InstanceState.GONE}
        for name in set(names) - given:
            self._book.ended(name, self._clock(), NOT_GIVEN)
            self._gate.shut_out(name, self._clock())
        if not given and not created.refusals:
            self._memory.troubled(request.offers[0], now, "it gave nothing, and did not say why")

    def _tried(self, step: Callable[[], None]) -> str:
        """Do a step; what kept it from its end, '' when nothing did."""
        try:
            step()
        except BlendNetError as error:
            if str(error) not in self.state.trouble:
                log.warning("the fleet: %s", error)
            return str(error)
        except Exception as error:
            # Whatever it was, the other steps have to be done.
            log.exception("in the fleet's loop")
            return f"{type(error).__name__}: {error}"
        return ""


def _gist(line: str) -> str:
    """What a line says, but for times and dollars: those are others at every decision."""
    return _AMOUNT.sub("#", line)
