"""From a measured pace, a job and machine types to estimates, each with everything that it assumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from blendnet import memory
from blendnet.cli import output
from blendnet.cli.cloud_probe import Probe
from blendnet.cli.scene import Inspection
from blendnet.cli.submission import Choices, frames_of
from blendnet.manager.estimating import work_of
from blendnet.models import Strategy
from blendnet.provision import estimate
from blendnet.provision.base import Features
from blendnet.provision.estimate import Estimate, Fleet, Rules, Work
from blendnet.provision.menu import Entry, best_few
from blendnet.settings import Settings

BEST = 5
"""Machine types that are compared when none is named."""
OLD_S = 7 * 86_400.0
"""A price that is older is not relied upon."""
BUSY_SHARE = 0.1
"""Others that use less of the processors are not worth a word."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be estimated."""

    provider: str
    region: str
    agents: int
    spot: bool
    speed: float | None
    """How many times as fast as the measured machine; None: by vCPUs."""
    work: Work
    reason: str
    """Why whole frames or sample chunks."""
    rules: Rules
    probe: Probe
    adaptive: bool
    own_settings: frozenset[str]
    """Settings that somebody has set."""


@dataclass(frozen=True)
class Candidate:
    """A machine type and what the job would cost on it."""

    entry: Entry
    speed: float
    estimate: Estimate

    @property
    def rank(self) -> tuple[bool, float, float]:
        """The cheapest first; unknown prices last."""
        usd = self.estimate.usd
        return usd is None, usd or 0.0, self.estimate.seconds


def ask(
    inspection: Inspection, choices: Choices, probe: Probe, *, settings: Settings, features: Features, agents: int,
    spot: bool, speed: float | None, provider: str, region: str,
) -> Question:  # fmt: skip
    """The question behind a scene, the command line's choices and the settings."""
    scene = inspection.description
    frames, samples = frames_of(choices, scene), choices.samples or scene.samples
    work, reason = work_of(
        scene, Strategy.AUTO, frames=len(frames), samples=samples, slots=agents, settings=settings,
        result_bytes=probe.result_bytes, segment_bytes=probe.segment_bytes,
    )  # fmt: skip
    return Question(
        provider=provider, region=region, agents=agents, spot=spot, speed=speed, work=work, reason=reason, probe=probe,
        rules=estimate.rules_of(settings, notice=bool(features.notice), provider=provider), adaptive=scene.adaptive,
        own_settings=frozenset(settings.model_fields_set),
    )  # fmt: skip


def answer(question: Question, entries: Sequence[Entry], *, every: bool) -> list[Candidate]:
    """The best machine type first: of the entries all, or the few cheapest that hold the scene."""
    if not every:
        need = memory_needed(question.probe)
        fit = best_few(entries, spot=question.spot, memory_bytes=need, count=BEST)
        entries = fit or list(entries[:BEST])
    return sorted((_candidate(question, entry) for entry in entries), key=lambda candidate: candidate.rank)


def memory_needed(probe: Probe) -> float:
    """Memory that a machine has to have, in bytes; 0 when nobody knows."""
    used = probe.memory_bytes
    return 0.0 if used is None else memory.machine_bytes(used)


def _candidate(question: Question, entry: Entry) -> Candidate:
    cores = question.probe.cores
    speed = question.speed or (entry.type.vcpus / cores if cores else 1.0)
    price = entry.price(spot=question.spot)
    fleet = Fleet(
        agents=question.agents, spot=question.spot, usd_per_hour=None if price is None else price.usd_per_hour
    )
    spread = estimate.KNOWN_SPREAD if question.speed else estimate.ASSUMED_SPREAD
    pace = question.probe.pace.at_speed(speed)
    return Candidate(entry, speed, estimate.estimate(question.work, pace, fleet, question.rules, spread=spread))


def warnings(question: Question, candidate: Candidate, now: float) -> Iterator[str]:
    """What makes an estimate less than it should be."""
    type_, rules = candidate.entry.type, question.rules
    price = candidate.entry.price(spot=question.spot)
    if price is not None and price.age_s(now) > OLD_S:
        yield f"the price of {type_.name} is {price.age_s(now) / 86_400:.0f} days old"
    if candidate.estimate.usd is None:
        kind = "spot price" if question.spot else "price"
        yield (
            f"nobody knows the {kind} of {type_.name}{_in(question.region)}, so its cost is unknown: see "
            "`blendnet cloud types` and `blendnet cloud doctor`"
        )
    need = memory_needed(question.probe)
    if type_.memory_bytes < need:
        yield f"{type_.name} has {output.size(type_.memory_bytes)} of memory, the scene needs {output.size(need)}"
    if candidate.estimate.course.agents < question.agents:
        few = output.plural(candidate.estimate.course.agents, "agent")
        yield f"there is work for {few} only, not for {question.agents}"
    if candidate.estimate.course.render_s < rules.boot_s:
        yield "machines boot longer than they render: fewer agents (--agents) cost less"


def assumptions(question: Question, candidate: Candidate) -> Iterator[str]:
    """All that was assumed, with the option or setting that says otherwise."""
    rules, work = question.rules, question.work
    yield _pace_text(question.probe)
    if question.probe.others_share >= BUSY_SHARE:
        yield (
            f"other programs used {question.probe.others_share:.0%} of this machine meanwhile: their time is taken "
            "out, but a probe without them is better"
        )
    yield _speed_text(question, candidate)
    if candidate.entry.type.gpus and question.speed is None:
        yield f"the GPU of {candidate.entry.type.name} is not counted: only --speed can say how much faster it renders"
    boot, idle = _setting(question, "fleet_boot_s"), _setting(question, "fleet_idle_s")
    yield (
        f"a machine asks for work {rules.boot_s:g} s after it was wanted ({boot}) and is idle for {rules.idle_s:g} s "
        f"before it is destroyed ({idle}); it is {rules.billed}"
    )
    if question.spot:
        yield (
            f"a spot machine is taken away {rules.preemptions_per_hour:g} times an hour "
            f"({_setting(question, 'estimate_preemptions_per_hour')}), {'with' if rules.notice else 'without'} notice"
        )
    yield (
        f"{rules.disk_gb:g} GB of disk for each machine at ${rules.disk_usd_per_gb_month:g} a GB and month "
        f"({_setting(question, 'estimate_disk_usd_per_gb_month')}), its public address at "
        f"${rules.address_usd_per_hour:g} an hour ({_setting(question, 'estimate_address_usd_per_hour')}), "
        f"results at ${rules.egress_usd_per_gb:g} a GB ({_setting(question, 'estimate_egress_usd_per_gb')})"
    )
    if question.adaptive:
        yield "adaptive sampling saves as much in the whole frame as in the few samples of the probe: it may save more"
    if work.one_call:
        yield "the scene cannot be split, so each frame or chunk is rendered in one piece"
    if not question.probe.finished:
        yield "compositing and denoising take no time: they were not measured"
    yield "the Manager's own machine is not in it"


def _pace_text(probe: Probe) -> str:
    pace = f"{probe.pace.sample_s:.3g} s a sample, {probe.pace.load_s:.1f} s to load"
    if probe.job:
        return f"all frames are like those of job {probe.job} on this farm's agents: {pace}"
    frames = ", ".join(map(str, probe.frames))
    return (
        f"all frames are like the probed ones ({frames}): {pace}, from {output.plural(probe.samples, 'sample')} on "
        f"{output.plural(probe.cores, 'core')} of this machine"
    )


def _speed_text(question: Question, candidate: Candidate) -> str:
    name, speed = candidate.entry.type.name, f"{candidate.speed:.3g}"
    measured = "an agent of this farm" if question.probe.job else "this machine"
    if question.speed:
        return f"{name} renders {speed} times as fast as {measured} (--speed)"
    if candidate.speed == 1 and question.probe.cores:
        return f"a vCPU renders as fast as a core here: {name} renders as fast as {measured}; --speed says it better"
    if not question.probe.cores:
        return f"{name} renders as fast as {measured}: --speed says it better"
    vcpus = output.plural(candidate.entry.type.vcpus, "vCPU")
    return (
        f"a vCPU renders as fast as a core here: {name} with {vcpus} renders {speed} times as fast as {measured}; "
        "--speed says it better"
    )


def _setting(question: Question, name: str) -> str:
    whose = "your" if name in question.own_settings else "default of"
    return f"{whose} BLENDNET_{name.upper()}"


def _in(region: str) -> str:
    return f" in {region}" if region else ""


def settings_record(rules: Rules) -> Mapping[str, float]:
    """The numbers behind the assumptions, for programs."""
    return {
        "boot_s": rules.boot_s,
        "idle_s": rules.idle_s,
        "preemptions_per_hour": rules.preemptions_per_hour,
        "least_billed_s": rules.least_billed_s,
        "billed_step_s": rules.billed_step_s,
        "disk_gb": rules.disk_gb,
        "disk_usd_per_gb_month": rules.disk_usd_per_gb_month,
        "address_usd_per_hour": rules.address_usd_per_hour,
        "egress_usd_per_gb": rules.egress_usd_per_gb,
    }
