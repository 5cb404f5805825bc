"""One run: a market, jobs, and a farm that does what the real decision says. Time jumps from event to event."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.market import market as markets
from bench.market.box import Bill, Box
from bench.market.market import Market
from bench.market.work import Desk
from bench.market.workload import Workload
from blendnet.provision.base import Offer, Price, Quota, Shortage
from blendnet.provision.decision import Decision, Request, Why
from blendnet.provision.policy import Policy
from blendnet.provision.scaling import decide
from blendnet.provision.situation import Cap, Choice, Loss, Setback, Situation

NOTICE_S = 120.0
"""Between AWS's notice and the end."""
TROUBLE_SHARE = 0.01
"""Requests that the cloud fails to answer."""
HOPELESS_S = 2 * 3600.0
"""Nobody worked for so long: the money is used up, or nothing is to be had."""
ROUNDING_USD = 1e-6


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run came to."""

    done: bool
    """All jobs were finished."""
    makespan_s: float
    """Until the last job was finished; of unfinished runs until they were given up."""
    usd: float
    paid_s: float
    """Machine seconds that were paid."""
    worked_s: float
    """Of those, seconds of work that counted."""
    machines: int
    preempted: int
    most: int
    """Most machines at once."""
    decisions: int
    passed: tuple[str, ...]
    """Caps that were passed, by how much."""


@dataclass
class Cloud:
    """How the simulated cloud treats this run."""

    rng: random.Random
    quota_vcpus: float = math.inf
    quota_known: bool = False
    segment_s: float = 5.0
    """A machine that ends loses at most so much work: a sub-pass, unless it cannot commit."""
    overdue: float = 1.0
    """Machines take so many times as long to end as the farm was promised."""


@dataclass
class Run:
    """The state of a run."""

    market: Market
    workload: Workload
    policy: Policy
    offers: set[Offer]
    cloud: Cloud
    watch: Callable[[Situation, Decision], None] = lambda situation, decision: None
    now: float = 0.0
    boxes: list[Box] = field(default_factory=list)
    setbacks: list[Setback] = field(default_factory=list)
    joined: dict[Offer, float] = field(default_factory=dict)
    everyone: list[Box] = field(default_factory=list)
    preempted: int = 0
    most: int = 0
    decisions: int = 0
    paid_s: float = 0.0

    def __post_init__(self) -> None:
        self.desk = Desk(self.workload)
        self.bill = Bill(self.workload.starts_at)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)
        self._choices: tuple[int, list[Choice]] = (-1, [])
        self._guesses = {name: self.cloud.rng.uniform(0.85, 1.15) for name, _ in markets.TYPES}
        self._working_until = self._decide_at = 0.0
        self._done_at: float | None = None

    def result(self) -> Result:
        """Play it to the end."""
        for job in self.workload.jobs:
            self._at(job.at, self._hurry)
        while not self._is_over():
            at = min(
                self._decide_at, self._events[0][0] if self._events else math.inf, self.now + self.desk.next_done_in_s()
            )
            self._advance(at)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            if self._decide_at <= self.now:
                self._decide_at = self.now + self._decide() + self.cloud.rng.uniform(0, self.policy.late_s)
            self.desk.assign(self.boxes, self.now)
        return Result(
            done=self.desk.is_done,
            makespan_s=self.now if self._done_at is None else self._done_at,
            usd=self.bill.total_usd,
            paid_s=self.paid_s,
            worked_s=sum(box.worked_s for box in self.everyone),
            machines=len(self.everyone),
            preempted=self.preempted,
            most=self.most,
            decisions=self.decisions,
            passed=self._passed(),
        )

    def _is_over(self) -> bool:
        if self.boxes or (self._working_until + HOPELESS_S > self.now and not self.desk.is_done):
            return self.now >= markets.HORIZON_S
        return True

    def _hurry(self) -> None:
        """A job has arrived: decide at once."""
        self._decide_at = self.now

    def _at(self, time: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), what))

    def _advance(self, at: float) -> None:
        for box in self.boxes:
            self.bill.stay(box, self.now, at)
        self.paid_s += (at - self.now) * len(self.boxes)
        self.desk.advance(at - self.now)
        self.now = at
        if self.boxes:
            self._working_until = at
        if self._done_at is None and self.desk.is_done:
            self._done_at = at

    def _decide(self) -> float:
        """Do what the farm decides; returns when it wants to be asked again."""
        situation = self._situation()
        decision = decide(situation, self.policy)
        self.watch(situation, decision)
        self.decisions += 1
        by_name = {box.name: box for box in self.boxes}
        self._drain({ending.name for ending in decision.drain})
        self.desk.limit(decision.coming)
        self.desk.halt({halt.job for halt in decision.halt}, self.boxes, self.now)
        for ending in decision.destroy:
            if ending.why is Why.NEVER_JOINED:
                self.setbacks.append(Setback(by_name[ending.name].pool.offer, self.now, Loss.NEVER_JOINED))
            self._end(by_name[ending.name])
        for request in decision.create:
            self._create(request)
        self.most = max(self.most, len(self.boxes))
        # Nothing happens by itself in an empty farm: look less often.
        return decision.wait_s if self.boxes else 5 * decision.wait_s

    def _situation(self) -> Situation:
        return Situation(
            now=self.now,
            needs=self.desk.needs(self.now),
            machines=[box.seen(self.now, self.desk.chunk_s(box.job), self.cloud.segment_s) for box in self.boxes],
            choices=self._priced(),
            setbacks=self.setbacks,
            joined=self.joined,
            quotas=[Quota("vCPU", self.cloud.quota_vcpus)] if self.cloud.quota_known else [],
            caps=self._caps(),
            boot_s=markets.BOOT_MEDIAN_S,
            end_delay_s=markets.END_DELAY_S,
        )

    def _priced(self) -> list[Choice]:
        """The offers with their prices of this half hour."""
        step = int(self.now / markets.PRICE_STEP_S)
        if self._choices[0] != step:
            vcpus = dict(markets.TYPES)
            found = [
                Choice(
                    offer=offer,
                    price=Price(offer.machine, offer.zone, offer.spot, pool.usd_per_hour(self.now), "live", self.now),
                    speed=pool.speed * self._guesses[offer.machine],
                    takes={"vCPU": vcpus[offer.machine]},
                )
                for offer, pool in self.market.pools.items()
                if offer in self.offers
            ]
            self._choices = (step, found)
        return self._choices[1]

    def _caps(self) -> list[Cap]:
        load, bill, found = self.workload, self.bill, []
        if load.farm_cap_usd is not None:
            found.append(Cap(name="farm", limit_usd=load.farm_cap_usd, spent_usd=bill.total_usd))
        if load.day_cap_usd is not None:
            found.append(Cap(name="day", limit_usd=load.day_cap_usd, spent_usd=bill.day_usd(self.now)))
        for job in load.jobs:
            if job.cap_usd is not None:
                spent = bill.accounts_usd.get(job.name, 0.0)
                found.append(Cap(name=f"job {job.name}", limit_usd=job.cap_usd, spent_usd=spent, job=job.name))
        return found

    def _create(self, request: Request) -> None:
        refused: set[Offer] = set()
        for _ in range(request.count):
            offer = next((o for o in request.offers if o not in refused and self._gives(o, refused)), None)
            if offer is not None:
                self._launch(offer, request)

    def _gives(self, offer: Offer, refused: set[Offer]) -> bool:
        """Whether the cloud gives such a machine now; writes down why not."""
        kind: Shortage | None = None
        vcpus = dict(markets.TYPES)
        used = sum(vcpus[box.pool.offer.machine] for box in self.boxes)
        if self.cloud.rng.random() < TROUBLE_SHARE:
            kind = Shortage.TROUBLE
        elif used + vcpus[offer.machine] > self.cloud.quota_vcpus:
            kind = Shortage.QUOTA
        elif self.market.pools[offer].is_short(self.now):
            kind = Shortage.CAPACITY
        if kind is not None:
            refused.add(offer)
            self.setbacks.append(Setback(offer, self.now, kind))
        return kind is None

    def _launch(self, offer: Offer, request: Request) -> None:
        pool, rng = self.market.pools[offer], self.cloud.rng
        box = Box(
            name=f"agent-{len(self.everyone) + 1}",
            pool=pool,
            usd_per_hour=pool.usd_per_hour(self.now),
            asked_at=self.now,
            joins_at=self.now + markets.boot_s(rng),
            taken_at=pool.taken_at(self.now, rng),
            account=request.job,
            speed_guess=pool.speed * self._guesses[offer.machine],
        )
        self.boxes.append(box)
        self.everyone.append(box)
        self.bill.launch(box)
        if box.joins_at < math.inf:
            self._at(box.joins_at, lambda: self._join(box))
        if box.taken_at < markets.HORIZON_S:
            noticed = rng.random() < markets.NOTICE_SHARE
            self._at(max(self.now, box.taken_at - NOTICE_S) if noticed else box.taken_at, lambda: self._take(box))

    def _join(self, box: Box) -> None:
        if box.ending_since is None:
            box.joined_at, box.idle_since = self.now, self.now
            self.joined[box.pool.offer] = self.now

    def _take(self, box: Box) -> None:
        """The cloud takes it back, now or in NOTICE_S."""
        if box.gone or box.ending_since is not None:
            return
        self.preempted += 1
        self.setbacks.append(Setback(box.pool.offer, self.now, Loss.PREEMPTED))
        lost_s = self.cloud.segment_s if box.taken_at > self.now else 60.0
        self.desk.stop(box, self.now, lost_s)
        box.ending_since = self.now
        self._at(max(self.now, box.taken_at) + self.cloud.rng.uniform(0, 5), lambda: self._gone(box))

    def _end(self, box: Box) -> None:
        if box.ending_since is None:
            self.desk.stop(box, self.now, self.cloud.segment_s)
            box.ending_since = self.now
            delay_s = self.cloud.overdue * markets.end_delay_s(self.cloud.rng)
            self._at(self.now + delay_s, lambda: self._gone(box))

    def _gone(self, box: Box) -> None:
        if not box.gone:
            box.gone = True
            self.boxes.remove(box)

    def _drain(self, names: set[str]) -> None:
        for box in self.boxes:
            chunk_s = self.desk.chunk_s(box.job)
            if box.name not in names:
                box.stops_at = math.inf
            elif box.stops_at == math.inf and chunk_s is not None:
                box.stops_at = self.now + box.busy_left_s(self.now, chunk_s)
                self._at(box.stops_at, lambda: None)

    def shares(self) -> list[float]:
        """How much of each cap was spent."""
        return [usd / limit for _, limit, usd in self._limits()]

    def _passed(self) -> tuple[str, ...]:
        """Caps that did not hold."""
        return tuple(
            f"{name}: {usd:.6f} of {limit:.6f} USD" for name, limit, usd in self._limits() if usd > limit + ROUNDING_USD
        )

    def _limits(self) -> list[tuple[str, float, float]]:
        """Every cap, with what was spent under it."""
        load, bill = self.workload, self.bill
        found = [("farm", load.farm_cap_usd, bill.total_usd)]
        found += [(f"day {day}", load.day_cap_usd, usd) for day, usd in bill.days_usd.items()]
        found += [(f"job {j.name}", j.cap_usd, bill.accounts_usd.get(j.name, 0.0)) for j in load.jobs]
        return [(name, limit, usd) for name, limit, usd in found if limit is not None]
