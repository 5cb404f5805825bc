"""What a job will take, told before it is sent, and the probes that find it out: small jobs that nobody is shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from blendnet import exactness
from blendnet.errors import Conflict, NotFound
from blendnet.manager.commitments import FINISH_S, LATE_S, call_stop_s
from blendnet.manager.estimating import Member, Team, assumptions, pace_of, speed_beside, team_of, work_of
from blendnet.manager.forecast import ample_cap
from blendnet.manager.ledger import InstanceRow, MeasureRow, Transaction
from blendnet.manager.measures import MeasureBook
from blendnet.manager.memory_need import memory_notes, need_of
from blendnet.manager.steering import Steering
from blendnet.manager.submit import Submitting, check_scene, layer_samples, picture_size
from blendnet.messages import (
    EstimatePart,
    EstimateRequest,
    EstimateState,
    EstimateView,
    JobSettings,
    JobSubmission,
    PaceView,
    ProbeRequest,
    tree_key,
)
from blendnet.models import Strategy
from blendnet.provision import estimate
from blendnet.provision.bill import HOUR_S
from blendnet.provision.estimate import ASSUMED_SPREAD, MEASURED_SPREAD, Estimate, Pace, Rules, Work
from blendnet.provision.probing import probe_samples, probed_frames
from blendnet.settings import Settings

PROBE_NAME = "Probe: {}"
OLD_S = 7 * 86_400.0
"""A price that is older is not relied upon."""


class Estimates(MeasureBook, Steering, Submitting):
    """The part of the Farm that tells what jobs will take."""

    def estimate(self, request: EstimateRequest, now: float) -> EstimateView:
        """What a job would take on the farm as it is now, if anything has measured its files. Raises SceneError."""
        scene, settings = request.description, request.settings
        check_scene(scene)
        with self.ledger.read() as tx:
            members = self._members(tx, settings, request.agents)
            rows = self._rows(tx, request)
            work, reason = work_of(
                scene,
                Strategy.SPLIT if settings.chunk_samples and settings.strategy is Strategy.AUTO else settings.strategy,
                frames=len(settings.frames),
                samples=settings.samples,
                slots=len(members),
                settings=self.settings,
            )
            about = {"frames": work.frames, "samples": work.samples, "strategy": work.strategy}
            about |= {"strategy_reason": reason, "probe": self._probe_of(tx, request.tree, settings)}
            if not rows:
                return EstimateView(state=EstimateState.UNKNOWN, **about)
            pixels = picture_size(scene, settings.resolution_percentage)
            team = self._team(tx, members, rows, pixels[0] * pixels[1])
            need = need_of(tx.measures.of_scene(request.tree))
            notes = memory_notes(need, tx.agents.all())
        made, rules = self._estimated(work, team)
        costs = _costs(made, team, self.settings, now)
        return EstimateView(
            state=EstimateState.ESTIMATED,
            **about,
            **_found(made, team, rows[0]),
            **costs,
            memory_bytes=need.used_bytes if need else None,
            assumptions=list(assumptions(team, rows[0], scene, rules)),
            warnings=[*notes, *_doubts(made, team, settings, now)],
        )

    def _probe(self, request: ProbeRequest, now: float) -> str:
        """Begin to render a few samples of a job, as a job of its own; its id. One that is on its way is enough.

        Raises UserError and its kinds, as submitting the job itself would.
        """
        with self.ledger.read() as tx:
            running = self._probe_of(tx, tree_key(request.files), request.settings)
        return running or self._accept(probe_job(request), now, probe=True)

    def forget_probes(self, now: float) -> list[str]:
        """Remove probes that ended a while ago: what they measured stays. Their ids. Those that last too long end."""
        with self.ledger.read() as tx:
            probes = tx.jobs.probes()
        before, limit_s = now - self.settings.probe_kept_s, self.settings.probe_limit_s
        ended = [job.id for job in probes if job.state.final and (job.finished_at or 0.0) <= before]
        for job in probes:
            # Somebody else may end or remove it at this moment.
            with suppress(Conflict, NotFound):
                if job.id in ended:
                    self.remove(job.id)
                elif not job.state.final and now - job.created_at >= limit_s:
                    self._cancel(job.id, now, f"it did not end within {limit_s:g} s (BLENDNET_PROBE_LIMIT_S)")
        return ended

    def _probe_of(self, tx: Transaction, tree: str, settings: JobSettings) -> str | None:
        """A probe of these files, with this Blender and device, that has not ended."""
        for job in tx.jobs.probes():
            alike = (job.blender, job.device) == (settings.blender, settings.device)
            if alike and not job.state.final and self._scene(tx, job).tree == tree:
                return job.id
        return None

    def _rows(self, tx: Transaction, request: EstimateRequest) -> list[MeasureRow]:
        """What is measured of these files with this Blender and device, the newest first."""
        settings = request.settings
        return [
            row
            for row in tx.measures.of_scene(request.tree)
            if row.samples and row.render_s > 0 and (row.blender, row.device) == (settings.blender, settings.device)
        ]

    def _members(self, tx: Transaction, settings: JobSettings, asked: int | None) -> list[Member]:
        """Who would render: the agents that are there, and those that the fleet would start."""
        lives = {row.name: row for row in tx.instances.living()}
        trusted = tx.agents.trusted()
        there = [agent for agent in tx.agents.all() if agent.name in trusted]
        fleet = self.settings.fleet_max if self.settings.fleet_provider else 0
        count = asked or max(len(there), fleet, 1)
        count = min(count, settings.agents_max or count)
        members = [_member(lives.get(agent.name), machine=self._machine(tx, agent), host=agent.host) for agent in there]
        # Machines of one's own cost nothing for booting: they render first.
        members = sorted(members, key=lambda member: (not member.is_here, member.usd_per_hour or 0.0))[:count]
        if count > len(members):
            provider = self.settings.fleet_provider
            members += [_coming(tx.instances.newest_of(provider), provider)] * (count - len(members))
        return members

    def _team(self, tx: Transaction, members: Sequence[Member], rows: Sequence[MeasureRow], pixels: int) -> Team:
        paces: dict[str, Pace] = {}
        for row in rows:
            paces.setdefault(row.machine, pace_of(row, pixels=pixels))
        best = tx.measures.on_machine(rows[0].machine)
        unknown = {member.machine for member in members if member.machine} - paces.keys()
        speeds = {machine: speed_beside(tx.measures.on_machine(machine), best) for machine in unknown}
        return team_of(members, paces, {machine: speed for machine, speed in speeds.items() if speed})

    def _estimated(self, work: Work, team: Team) -> tuple[Estimate, Rules]:
        rules = team.rules(estimate.rules_of(self.settings, notice=True))
        spread = MEASURED_SPREAD if team.is_measured else ASSUMED_SPREAD
        return estimate.estimate(work, team.pace, team.fleet(), rules, spread=spread), rules


def probe_job(request: ProbeRequest) -> JobSubmission:
    """The job that a probe is: a few samples of a few frames, each in one piece, on one agent, no video."""
    settings, scene = request.settings, request.description
    least = exactness.minimum_chunk(scene)
    samples = probe_samples(layer_samples(scene, settings.samples), settings.samples, least=least)
    frames = probed_frames(settings.frames)
    chosen = {1: frames[:1], 2: [frames[0], frames[-1]], 3: frames}[request.probe_frames]
    own = settings.model_copy(
        update={
            "frames": list(dict.fromkeys(chosen)),
            "samples": min(request.probe_samples or samples, settings.samples),
            "strategy": Strategy.FRAME,
            "chunk_samples": None,
            "agents_max": 1,
            "cap_usd": None,  # The job's own: the caps of day and farm hold for probes, too.
        }
    )
    values = {name: getattr(request, name) for name in JobSubmission.model_fields}
    values |= {"name": PROBE_NAME.format(request.name)[:200], "settings": own}
    return JobSubmission(**values | {"description": scene.model_copy(update={"movie": False})})


def _member(life: InstanceRow | None, *, machine: str, host: str) -> Member:
    if life is None:
        return Member(machine=machine, host=host, provider="own")
    return Member(
        machine=machine,
        host=host,
        provider=life.provider,
        spot=life.spot,
        usd_per_hour=life.usd_per_hour,
        price_source=life.price_source,
        price_at=life.price_at,
    )


def _coming(like: InstanceRow | None, provider: str) -> Member:
    """A machine that is still to come: like the newest of its provider."""
    if like is None:
        return Member(machine="", provider=provider or "own", there=False)
    return replace(_member(like, machine=like.machine, host=""), there=False)


def _found(made: Estimate, team: Team, row: MeasureRow) -> dict[str, object]:
    course, pace = made.course, team.pace
    parts = {"boot": course.boot_s, "load": course.load_s, "render": course.render_s}
    parts |= {"preemptions": course.lost_s, "merge and finish": course.end_s}
    return {
        "agents": course.agents,
        "chunks": course.chunks,
        "seconds": made.seconds,
        "seconds_range": made.seconds_range,
        "pace": PaceView(
            sample_s=pace.sample_s,
            call_s=pace.call_s,
            load_s=pace.load_s,
            change_s=pace.change_s,
            finish_s=pace.finish_s,
        ),
        "measured_at": row.measured_at,
        "measured_by": "probe" if row.probe else "render",
        "measured_job": row.job_id,
        "course": [EstimatePart(name=name, seconds=seconds) for name, seconds in parts.items() if seconds],
    }


def kept_back_usd(made: Estimate, team: Team, settings: Settings) -> float:
    """What a cap keeps back until the last moment: money for agents to stop, to finish a frame, and to be ended."""
    seconds = call_stop_s(settings, team.pace.sample_s) + 2 * LATE_S + max(FINISH_S, team.pace.finish_s)
    if any(not member.is_here for member in team.members):
        seconds += settings.fleet_end_delay_s + LATE_S
    return made.course.agents * seconds / HOUR_S * (team.fleet().usd_per_hour or 0.0)


def _costs(made: Estimate, team: Team, settings: Settings, now: float) -> dict[str, object]:
    fleet = team.fleet()
    bill = [EstimatePart(name=line.name, seconds=line.seconds, usd=line.usd) for line in made.lines]
    if made.usd is None or made.usd_range is None:
        return {"bill": bill}
    oldest = min(team.members, key=lambda member: member.price_at or now)
    return {
        "bill": bill,
        "usd": made.usd,
        "usd_range": made.usd_range,
        "cap_usd": ample_cap(0.0, made.usd_range[1] + kept_back_usd(made, team, settings)),
        "usd_per_hour": fleet.usd_per_hour,
        "price_source": oldest.price_source or None,
        "price_age_s": None if oldest.price_at is None else max(0.0, now - oldest.price_at),
    }


def _doubts(made: Estimate, team: Team, settings: JobSettings, now: float) -> list[str]:
    """What makes an estimate less than it should be."""
    found = []
    if made.usd is None and not all(member.is_here and member.usd_per_hour is None for member in team.members):
        found.append("nobody knows what some of the agents cost, so the cost of the job is unknown")
    ages = [now - member.price_at for member in team.members if member.price_at is not None]
    if made.usd is not None and max(ages, default=0.0) > OLD_S and not all(m.is_here for m in team.members):
        found.append(f"the oldest price is {max(ages) / 86_400:.0f} days old")
    if made.usd is not None and settings.cap_usd is not None and made.usd > settings.cap_usd:
        found.append(f"the cap of ${settings.cap_usd:g} will not do")
    if made.course.agents < len(team.members):
        found.append(f"there is work for {made.course.agents} of {len(team.members)} agents only")
    return found
