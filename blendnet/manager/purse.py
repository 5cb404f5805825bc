"""Counts what agents do, writes it down, and keeps jobs and the farm within their caps. The rule is in caps.py."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from blendnet.manager import caps, commitments
from blendnet.manager.admission import Admission
from blendnet.manager.caps import Piece, Verdict
from blendnet.manager.chunks import put_back
from blendnet.manager.commitments import LATE_S
from blendnet.manager.crew import usual_sample_s
from blendnet.manager.days import day_of
from blendnet.manager.forecast import Forecast
from blendnet.manager.gate import Opening
from blendnet.manager.ledger import ChunkRow, FrameRow, JobRow, Transaction
from blendnet.manager.ledger.jobs import RUNNING
from blendnet.manager.ledger.usage import Held
from blendnet.models import State
from blendnet.provision.bill import HOUR_S, usd_text

JOB, DAY, FARM = "job", "day", "farm"
"""Which cap has paused a job."""


@dataclass
class _Judged:
    """What one look decides."""

    rooms: dict[str, float] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    finish: set[str] = field(default_factory=set)
    cut: dict[str, str] = field(default_factory=dict)
    """Attempts to cut off -> their job."""
    pause: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Jobs to pause -> which cap, and what to say."""
    resume: list[str] = field(default_factory=list)
    tell: dict[str, str] = field(default_factory=dict)
    """Jobs that come close to their cap -> what to say."""
    shut: str = ""

    @property
    def acts(self) -> bool:
        return bool(self.cut or self.pause or self.resume or self.tell)


class Purse(Admission, Forecast):
    """The part of the Farm that looks after money, about once a second."""

    _stopping: dict[str, float] | None = None
    """Job that its cap stops -> since when."""
    _renewed: frozenset[str] = frozenset({DAY, FARM})
    """Caps that may have more room than when they paused jobs: the settings of this Manager, or a day, are new."""

    def look(self, now: float) -> None:
        """Count what was worked; pause what reaches its cap, and cut off what does not stop in time."""
        self.gate.begin_look()
        before = self.work.looked_at
        with self.ledger.read() as tx:
            held, farm_caps = tx.usage.held(), self.caps_in(tx)
            capped = tx.jobs.with_caps(self.work.paying())
        self.work.look(held, now)
        if not capped and not farm_caps:
            self.write_counts(now, at_once=False)
            self._renewed = frozenset()
            self._open(_Judged())
            return
        self.write_counts(now, at_once=True)
        with self.ledger.read() as tx:
            capped = tx.jobs.with_caps(self.work.paying())
            judged = self._judge(tx, capped, held, now, new_day=day_of(before) != day_of(now))
        if judged.acts:
            with self.ledger.write() as tx:
                self._act(tx, judged, held, now)
        self._open(judged)

    def close_books(self, now: float) -> None:
        """The farm ends, and with it all agents on this machine: write down what is not written yet."""
        self.look(now)
        self.write_counts(now, at_once=True)
        self.instances.all_ended(now, "the farm ended")

    def _open(self, judged: _Judged) -> None:
        opened = self.gate.open(Opening(judged.rooms, judged.held, judged.finish, judged.shut))
        if opened or judged.resume:
            self.changes.note()

    def _judge(self, tx: Transaction, jobs: list[JobRow], held: list[Held], now: float, *, new_day: bool) -> _Judged:
        judged = _Judged()
        costs = tx.usage.job_costs()
        paused = {job.id for job in jobs if job.capped == JOB and job.state is State.PAUSED}
        stopping = self._stopping = {id_: at for id_, at in (self._stopping or {}).items() if id_ in paused}
        devices = self._devices(tx) if jobs else {}
        for job in jobs:
            if job.cap_usd is not None:
                spent = costs[job.id].usd if job.id in costs else 0.0
                pieces = self._pieces(tx, job, held, now, stopping_for_s=now - stopping.get(job.id, now))
                self._judge_job(judged, job, spent, pieces, _able(devices, job))
                if job.id in judged.pause:
                    stopping[job.id] = now
        self._judge_farm(tx, judged, held, now, new_day=new_day)
        return judged

    def _judge_job(
        self, judged: _Judged, job: JobRow, spent: float, pieces: list[Piece], able: Collection[str]
    ) -> None:
        """A job against its own cap, with what its machines cost while they only wait, and until they are gone."""
        assert job.cap_usd is not None
        waiting = self.work.waiting(job.id)
        end_s = self.settings.fleet_end_delay_s + LATE_S
        leaving = [piece.usd_per_s for piece in pieces if self.work.ends_later(piece.agent)]
        waiting_usd_per_s = sum(waiting.values()) / HOUR_S
        verdict: Verdict = caps.decide(
            job.cap_usd,
            spent,
            pieces,
            late_s=LATE_S,
            waiting_usd_per_s=waiting_usd_per_s,
            end_usd=(waiting_usd_per_s + sum(leaving)) * end_s,
        )
        if verdict.drop:
            self.work.drop(waiting)
        self.work.drop([i for piece in pieces if piece.key in verdict.cut and (i := self.work.instance(piece.agent))])
        judged.rooms[job.id] = verdict.room_usd
        if job.state in RUNNING or job.capped == JOB:
            judged.finish |= verdict.finish
        judged.cut |= dict.fromkeys(verdict.cut, job.id)
        if job.state not in RUNNING:
            return
        least_usd = self._least_usd(job, able)
        if verdict.room_usd < least_usd:
            judged.held.add(job.id)
        if verdict.stop or (not pieces and verdict.room_usd < least_usd):
            judged.pause[job.id] = (JOB, self._reached(job, spent))
        elif caps.is_close(job.cap_usd, spent) and job.cap_told != job.cap_usd:
            judged.tell[job.id] = self._close_text(job, spent)

    def _judge_farm(self, tx: Transaction, judged: _Judged, held: list[Held], now: float, *, new_day: bool) -> None:
        """Everything against the caps of the day and of the farm."""
        for money in self.farm_money(tx, now):
            if money.left_usd <= 0:
                judged.shut = judged.shut or money.text
                for job in tx.jobs.running():
                    judged.pause.setdefault(job.id, (money.cap, money.text))
            if money.is_passed_soon:
                judged.cut |= {work.key: work.job for work in held}
        self._renewed |= {DAY} if new_day else set()
        if not judged.shut:
            paused = [job for job in tx.jobs.with_caps() if job.state is State.PAUSED]
            judged.resume += [job.id for job in paused if job.capped in self._renewed]
        # What runs may leave no room at midnight, and some later.
        self._renewed &= {DAY} if judged.shut else set()

    def _pieces(
        self, tx: Transaction, job: JobRow, held: list[Held], now: float, *, stopping_for_s: float
    ) -> list[Piece]:
        """What agents do for a job now, an agent's first work alone."""
        chunks = {commitments.attempt_key(c.id, c.token): c for c in tx.chunks.active(job.id)}
        usual_s = usual_sample_s(self.tails, job)
        pieces = []
        for work in {work.agent: work for work in reversed(held) if work.job == job.id}.values():
            price, chunk = self.work.usd_per_hour(work.agent), chunks.get(work.key)
            if chunk is None:
                pieces.append(Piece(work.key, price / HOUR_S, rest_s=None, stop_s=None, agent=work.agent))
                continue
            piece = commitments.piece_of(
                self.settings,
                job,
                chunk,
                self.tails.pace(work.agent),
                usual_s=usual_s,
                usd_per_hour=price,
                now=now,
                stopping_for_s=stopping_for_s,
            )
            pieces.append(replace(piece, agent=work.agent))
        return pieces

    def halt(self, reasons: Mapping[str, str], now: float) -> None:
        """Pause jobs whose caps have no room for the machines that they would need; those that run, and no others."""
        with self.ledger.read() as tx:
            running = {job.id for job in tx.jobs.running()}.intersection(reasons)
        if not running:
            return  # It is said at every decision: a change would only have the next one made at once.
        with self.ledger.write() as tx:
            for job_id in sorted(running):
                job, reason = tx.jobs.need(job_id), reasons[job_id]
                if job.state in RUNNING and job.cap_usd is not None:
                    costs = tx.usage.job_costs(job_id)
                    text = self._reached(job, costs[job_id].usd if job_id in costs else 0.0)
                    tx.jobs.update(job, state=State.PAUSED, capped=JOB, message=text)
                    self._log(tx, f"paused: {text} ({reason})", now=now, job=job_id, level="warning")
        self.changes.note()

    def _least_usd(self, job: JobRow, able: Collection[str]) -> float:
        """What beginning anything of a job takes on the cheapest of the agents that can; 0 when there is none."""
        sample_s = usual_sample_s(self.tails, job)
        seconds = (job.mean_load_s or 0.0) + (commitments.stop_s(self.settings, job, sample_s) or 0.0)
        if job.one_call and sample_s is not None:
            seconds += job.samples * sample_s
        return min((self._begin_usd(job, agent, seconds) for agent in able), default=0.0)

    def _devices(self, tx: Transaction) -> dict[str, Sequence[str]]:
        """Agents on living machines that do not end -> their devices; none: nobody knows them."""
        known = {agent.name: agent.devices for agent in tx.agents.all()}
        return {name: known.get(name, ()) for name in set(self.work.agents()) - self.draining}

    def _act(self, tx: Transaction, judged: _Judged, held: Iterable[Held], now: float) -> None:
        """Write what was decided, where it still fits."""
        for job_id, (cap, text) in judged.pause.items():
            job = tx.jobs.need(job_id)
            if job.state in RUNNING:
                tx.jobs.update(job, state=State.PAUSED, capped=cap, message=text)
                self._log(tx, f"paused: {text}", now=now, job=job_id, level="warning")
        for job_id, text in judged.tell.items():
            job = tx.jobs.need(job_id)
            tx.jobs.update(job, cap_told=job.cap_usd)
            self._log(tx, text, now=now, job=job_id, level="warning")
        for job_id in judged.resume:
            self._go_on(tx, tx.jobs.need(job_id), "the farm's caps leave room again", now)
        for work in held:
            if work.key in judged.cut:
                self._cut_off(tx, work, now)

    def _cut_off(self, tx: Transaction, work: Held, now: float) -> None:
        """Take a lease away for good: its agent ends the call within moments."""
        text = "cut off: going on would have passed the cap"
        id_, _, token = work.key.rpartition("#")
        row = tx.chunks.get(id_) or tx.frames.get(id_) or tx.jobs.get(id_)
        if row is None or row.token != int(token):
            return
        if isinstance(row, ChunkRow):
            if row.state is State.ACTIVE:
                put_back(tx, row, message=text)
        elif isinstance(row, FrameRow):
            tx.frames.update(row, lease_until=None, agent=None, due_at=now)
        else:
            tx.jobs.update(row, lease_until=None, agent=None, due_at=now)
        self.work.ended(work.agent, work.key, now)
        self._log(tx, text, now=now, job=work.job, level="warning", agent=work.agent)

    def _go_on(self, tx: Transaction, job: JobRow, why: str, now: float) -> None:
        """A cap holds the job no longer."""
        if job.state is State.PAUSED and job.capped:
            tx.jobs.update(job, state=State.QUEUED, capped="", message="")
            self._log(tx, f"resumed: {why}", now=now, job=job.id)

    def _set_cap(self, job_id: str, cap_usd: float | None, now: float) -> None:
        """Change what a job may cost; one that its cap has paused goes on when that leaves something."""
        with self.ledger.write() as tx:
            job = tx.jobs.update(tx.jobs.need(job_id), cap_usd=cap_usd)
            text = "no cap" if cap_usd is None else f"cap {usd_text(cap_usd)}"
            self._log(tx, text, now=now, job=job_id)
            costs = tx.usage.job_costs(job_id)
            spent = costs[job_id].usd if job_id in costs else 0.0
            if job.capped == JOB and (cap_usd is None or cap_usd > spent):
                self._go_on(tx, job, text, now)
        self.changes.note()

    def set_farm_caps(self, now: float, *, day_usd: float | None = None, farm_usd: float | None = None) -> None:
        """Change caps of the whole farm, 0: none, None: as it is; jobs that they have paused go on where they may."""
        with self.ledger.write() as tx:
            self.keep_caps(tx, day_usd=day_usd, farm_usd=farm_usd)
            if all(money.left_usd > 0 for money in self.farm_money(tx, now)):
                for job in tx.jobs.with_caps():
                    if job.capped in (DAY, FARM):
                        self._go_on(tx, job, "the farm's caps were changed", now)
        self.changes.note()


def _able(devices: Mapping[str, Sequence[str]], job: JobRow) -> set[str]:
    """Agents that may work for a job: not those that are known to lack its device."""
    return {name for name, own in devices.items() if not _lacks(own, job.device.upper())}


def _lacks(devices: Collection[str], wanted: str) -> bool:
    """True when an agent has told its devices ('CPU', 'OPTIX: NVIDIA L4'), and what a job wants is not among them."""
    kinds = {device.partition(":")[0] for device in devices}
    return bool(kinds) and not (kinds - {"CPU"} if wanted == "GPU" else wanted in kinds)
