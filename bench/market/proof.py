"""Random runs that try to get past a cap."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field

from bench.market.farm import Cloud, Result, Run
from bench.market.market import make_market
from bench.market.policies import COMPARED
from bench.market.workload import Workload, capped_jobs
from blendnet.provision.decision import Decision, Why
from blendnet.provision.situation import Situation

QUOTAS_VCPUS = (math.inf, 16.0, 40.0)
SEGMENTS_S = (5.0, 60.0, 600.0)
SHOWN = 20


@dataclass
class Proof:
    """What the runs came to."""

    runs: int = 0
    finished: int = 0
    """Runs that had money enough for all jobs."""
    stopped: int = 0
    """Runs in which a cap ended machines or jobs: those that prove something."""
    machines: int = 0
    preempted: int = 0
    decisions: int = 0
    endings: dict[str, int] = field(default_factory=dict)
    """Machines that were ended, by the reason."""
    closest: float = 0.0
    """Largest share of a cap that was spent."""
    passed: list[str] = field(default_factory=list)
    """Caps and limits that did not hold, with the seed that shows it."""


def prove(runs: int, seed: int, *, first: int = 0, overdue: float = 1.0) -> Proof:
    """Play `runs` random runs, from number `first` on.

    `overdue` is how many times as long as promised the cloud takes to end machines.
    """
    proof = Proof()
    for number in range(first, first + runs):
        _count(proof, f"{seed}:{number}", overdue)
    return proof


def _count(proof: Proof, seed: str, overdue: float) -> None:
    """Play the run of one seed."""
    rng = random.Random(seed)
    market, workload, compared = make_market(rng), capped_jobs(rng), rng.choice(COMPARED)
    cloud = Cloud(
        rng=rng,
        quota_vcpus=rng.choice(QUOTAS_VCPUS),
        quota_known=rng.random() < 0.5,
        segment_s=rng.choice(SEGMENTS_S),
        overdue=overdue,
    )
    reasons: Counter[str] = Counter()

    def watch(situation: Situation, decision: Decision) -> None:
        reasons.update(ending.why.value for ending in decision.destroy)
        reasons.update("halt" for _ in decision.halt)

    run = Run(market, workload, compared.policy, compared.offers(market), cloud, watch)
    result = run.result()
    proof.runs += 1
    proof.finished += result.done
    proof.stopped += bool(reasons["halt"] or reasons[Why.CAP.value])
    proof.machines += result.machines
    proof.preempted += result.preempted
    proof.decisions += result.decisions
    del reasons["halt"]
    proof.endings = dict(Counter(proof.endings) + reasons)
    proof.closest = max([proof.closest, *run.shares()])
    proof.passed += _wrong(seed, compared.policy.max, result, workload)


def _wrong(seed: str, most: int, result: Result, workload: Workload) -> list[str]:
    found = [f"seed {seed}: {text}" for text in result.passed]
    if result.most > most:
        found.append(f"seed {seed}: {result.most} machines, fleet_max is {most}")
    return found
