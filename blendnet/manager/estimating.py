"""From a scene and the agents that will render it to an estimate, with everything that it assumes. PURE."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from blendnet import exactness, planner
from blendnet.manager.instances import HERE
from blendnet.manager.ledger import MeasureRow
from blendnet.messages import SceneDescription
from blendnet.models import Strategy, plural
from blendnet.provision import probing
from blendnet.provision.bill import LEAST_BILLED_S, step_s_of
from blendnet.provision.estimate import Fleet, Pace, Rules, Work
from blendnet.provision.probing import Call
from blendnet.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Member:
    """An agent that will render, there or still to come."""

    machine: str
    """As MeasureRow.machine; '': nobody knows."""
    host: str = ""
    provider: str = ""
    spot: bool = False
    there: bool = True
    usd_per_hour: float | None = None
    price_source: str = ""
    price_at: float | None = None

    @property
    def is_here(self) -> bool:
        """It is the user's own: nobody bills its booting and idling."""
        return self.provider in HERE


@dataclass(frozen=True)
class Team:
    """All that will render, and how fast each is."""

    members: Sequence[Member]
    pace: Pace
    """Of one of them, in the mean."""
    is_measured: bool
    """All types of machines have rendered the scene, or the speed of each beside another is known."""
    notes: Sequence[str] = ()

    def fleet(self) -> Fleet:
        """What they cost: the mean, unknown when one is."""
        prices = [member.usd_per_hour for member in self.members]
        known = [price for price in prices if price is not None]
        mean = statistics.fmean(known) if len(known) == len(prices) else None
        return Fleet(agents=len(self.members), spot=any(m.spot for m in self.members), usd_per_hour=mean)

    def rules(self, rules: Rules) -> Rules:
        """Without what does not happen: agents that are there do not boot, and own machines are not billed apart."""
        own = all(member.is_here for member in self.members)
        return replace(
            rules,
            boot_s=0.0 if all(member.there for member in self.members) else rules.boot_s,
            idle_s=0.0 if own else rules.idle_s,
            least_billed_s=0.0 if own else LEAST_BILLED_S,
            billed_step_s=max((step_s_of(member.provider) for member in self.members), default=0.0),
            disk_gb=0.0 if own else rules.disk_gb,
            address_usd_per_hour=0.0 if own else rules.address_usd_per_hour,
            egress_usd_per_gb=0.0 if own else rules.egress_usd_per_gb,
        )


def work_of(
    scene: SceneDescription, wanted: Strategy, *, frames: int, samples: int, slots: int, settings: Settings,
    result_bytes: float = 0.0, segment_bytes: float = 0.0,
) -> tuple[Work, str]:  # fmt: skip
    """What is to be rendered, planned for so many agents, and why in whole frames or in chunks."""
    strategy, reason = planner.choose_strategy(
        wanted,
        frames=frames,
        slots=slots,
        samples=samples,
        exact=not exactness.obstacles(scene, samples=samples),
        chunk_time_max_s=settings.chunk_time_max_s,
    )
    work = Work(
        frames=frames,
        samples=samples,
        strategy=strategy,
        one_call=exactness.one_call(scene, strategy, samples=samples),
        minimum=exactness.minimum_chunk(scene),
        result_bytes=result_bytes,
        segment_bytes=segment_bytes,
    )
    return work, reason


def pace_of(row: MeasureRow, *, pixels: int) -> Pace:
    """The pace that a row tells, for pictures of so many pixels."""
    finish_s = row.finish_s / row.finishes if row.finishes else 0.0
    if row.calls:
        calls = [Call(int(frame), int(samples), s, load_s) for frame, samples, s, load_s in row.calls]
        pace = probing.pace_of(calls, finish_s=finish_s)
    else:
        load_s = row.load_s / row.loads if row.loads else 0.0
        pace = Pace(sample_s=row.render_s / row.samples, load_s=load_s, finish_s=finish_s)
    return replace(pace, sample_s=pace.sample_s * pixels / (row.width * row.height))


def team_of(members: Sequence[Member], paces: dict[str, Pace], speeds: dict[str, float]) -> Team:
    """Put the agents' paces together.

    Args:
        paces: type of machine -> its pace; the first is the best known. At least one.
        speeds: type of machine without pace -> how many times as fast as the first of `paces`.
    """
    best, known = next(iter(paces.items()))
    sharing = Counter(member.host for member in members if member.host)
    each, notes, is_measured = [], [], True
    for member in members:
        pace = paces.get(member.machine)
        if pace is None:
            speed = speeds.get(member.machine)
            is_measured = is_measured and speed is not None
            notes.append(_speed_note(member, best, speed))
            pace = known.at_speed(speed or 1.0)
        each.append(pace.at_speed(1 / sharing[member.host]) if member.host else pace)
    notes += [f"{plural(n, 'agent')} share the processors of {host}" for host, n in sharing.items() if n > 1]
    together = replace(
        known,
        sample_s=statistics.harmonic_mean([pace.sample_s for pace in each]),
        call_s=statistics.fmean(pace.call_s for pace in each),
        load_s=statistics.fmean(pace.load_s for pace in each),
        change_s=statistics.fmean(pace.change_s for pace in each),
        finish_s=statistics.fmean(pace.finish_s for pace in each),
    )
    return Team(members, together, is_measured, tuple(dict.fromkeys(notes)))


def _speed_note(member: Member, best: str, speed: float | None) -> str:
    if speed is not None:
        return f"{member.machine} renders {speed:.3g} times as fast as {best}, as it did with other scenes"
    who = member.machine or "a machine that is still to come"
    return f"{who} renders as fast as {best}: there is nothing yet that both have rendered"


def speed_beside(rows: Sequence[MeasureRow], others: Sequence[MeasureRow]) -> float | None:
    """How many times as fast the machine of `rows` is as that of `others`, by scenes that both have rendered."""

    def by_scene(of: Sequence[MeasureRow]) -> dict[tuple[object, ...], MeasureRow]:
        return {(r.tree, r.blender, r.device, r.width, r.height): r for r in of if r.samples and r.render_s}

    ours, theirs = by_scene(rows), by_scene(others)
    ratios = [
        (theirs[key].render_s / theirs[key].samples) / (ours[key].render_s / ours[key].samples)
        for key in ours.keys() & theirs.keys()
    ]
    return statistics.median(ratios) if ratios else None


def assumptions(team: Team, row: MeasureRow, scene: SceneDescription, rules: Rules) -> Iterator[str]:
    """Everything that an estimate assumes."""
    who = f"a probe ({plural(row.samples, 'sample')})" if row.probe else f"job {row.job_id} ({row.samples} samples)"
    frames = sorted({int(call[0]) for call in row.calls})
    of = f" of frame {', '.join(map(str, frames))}" if frames else ""
    pace = f"{team.pace.sample_s:.3g} s a sample, {team.pace.load_s:.1f} s to load"
    yield f"all frames are like those of {who}{of}: {pace}"
    yield from team.notes
    if any(not member.there for member in team.members):
        yield f"a machine asks for work {rules.boot_s:g} s after it was wanted"
    if any(not member.is_here for member in team.members):
        yield f"a machine is idle for {rules.idle_s:g} s before it is destroyed, and {rules.billed}"
        yield "what bringing results home costs is not in it"
    if any(member.spot for member in team.members):
        yield f"a spot machine is taken away {rules.preemptions_per_hour:g} times an hour"
    if scene.adaptive:
        yield "adaptive sampling saves as much in the whole frame as in the few samples: it may save more"
    if not row.finishes:
        yield "compositing and denoising take no time: they were not measured"
    yield "no other job takes these agents meanwhile"
