"""The same markets and jobs under every policy."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from statistics import median

from bench.market import ideal
from bench.market.farm import Cloud, Result, Run
from bench.market.market import make_market
from bench.market.policies import COMPARED, MACHINES
from bench.market.workload import one_job


@dataclass
class Line:
    """One policy over all markets."""

    name: str
    usd: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    """Cost in multiples of the ideal's."""
    time: list[float] = field(default_factory=list)
    """Makespan in multiples of the ideal's."""
    paid_s: float = 0.0
    worked_s: float = 0.0
    preempted: int = 0
    unfinished: int = 0

    @property
    def waste(self) -> float:
        """Share of the paid machine time that was no work that counted: boots, idle time, lost work, ends."""
        return 1 - self.worked_s / self.paid_s

    def add(self, result: Result, least_usd: float, least_s: float) -> None:
        """Count a run. One that was given up counts with the time that it had."""
        self.usd.append(result.usd)
        self.cost.append(result.usd / least_usd)
        self.time.append(result.makespan_s / least_s)
        self.paid_s += result.paid_s
        self.worked_s += result.worked_s
        self.preempted += result.preempted
        self.unfinished += not result.done


def compare(markets: int, seed: int) -> list[Line]:
    """Every policy in every market. The ideal of a market is the same for all of them."""
    lines = [Line(compared.name) for compared in COMPARED]
    for number in range(markets):
        results = [_play(f"{seed}:{number}", index) for index in range(len(COMPARED))]
        rng = random.Random(f"{seed}:{number}")
        market, workload = make_market(rng), one_job(rng)
        least_usd = ideal.least_usd(market, workload, max(result.makespan_s for result in results))
        least_s = ideal.least_s(market, workload, MACHINES)
        for line, result in zip(lines, results, strict=True):
            line.add(result, least_usd, least_s)
    return lines


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, and the bounds of the middle eight tenths."""
    ordered = sorted(values)
    tenth = len(ordered) // 10
    return median(ordered), ordered[tenth], ordered[-1 - tenth]


def _play(seed: str, index: int) -> Result:
    rng, compared = random.Random(seed), COMPARED[index]
    market, workload = make_market(rng), one_job(rng)
    return Run(market, workload, compared.policy, compared.offers(market), Cloud(random.Random(seed))).result()
