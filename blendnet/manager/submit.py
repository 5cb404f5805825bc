"""Taking a job in: what is wrong with it is said here, before anything renders."""

from __future__ import annotations

import base64
import secrets
from collections import Counter
from typing import Any

from blendnet import exactness, planner
from blendnet.celery_app import RENDER_LANES
from blendnet.errors import Conflict, MissingFiles, SceneError, UserError
from blendnet.manager.ledger import FrameRow, JobRow, Transaction
from blendnet.manager.memory_need import scene_notes
from blendnet.manager.part import FarmPart
from blendnet.messages import CheckView, JobCheck, JobSettings, JobSubmission, SceneDescription
from blendnet.models import SampleRange, Stage, State, Strategy, plural

NAMED_FILES = 20
"""Files that an error text names at most."""
SPLIT_CHUNKS = 2
"""Who asks for split frames gets so many chunks of each at least."""
ENDING = (
    "the farm is ending and takes no more jobs: start it again (`blendnet up`, in a cloud `blendnet cloud start`), and "
    "send the job then"
)


class Submitting(FarmPart):
    """The part of the Farm that accepts jobs."""

    def check(self, job: JobCheck) -> CheckView:
        """How a job would be rendered by the farm as it is now. Raises SceneError."""
        check_scene(job.description)
        with self.ledger.read() as tx:
            slots = self._slots(tx, job.settings.agents_max)
            memory = scene_notes(tx, job.tree, job.scene_path)
        strategy, reason = choose_strategy(job.settings, job.description, slots=slots)
        assessment = exactness.assess(job.description, strategy=strategy, samples=job.settings.samples)
        return CheckView(
            strategy=strategy,
            strategy_reason=reason,
            exactness=assessment.exactness,
            reasons=list(assessment.reasons),
            notes=list(exactness.notes(job.description)),
            warnings=[*exactness.warnings(job.description), *memory],
        )

    def _accept(self, submission: JobSubmission, now: float, *, probe: bool = False) -> str:
        """Check a job and write it with all its frames and chunks; its id. Raises UserError and its kinds."""
        check(submission)
        self._check_blobs(submission)
        with self.ledger.write() as tx:
            if self.ending:
                raise Conflict(ENDING)
            # Again, now that nobody can remove a job and its blobs meanwhile.
            self._check_blobs(submission)
            job_id = self._write(tx, submission, now, probe=probe)
        self.changes.note()
        return job_id

    def _check_blobs(self, submission: JobSubmission) -> None:
        there = self.store.sizes([file.sha256 for file in submission.files])
        missing = [file.path for file in submission.files if there.get(file.sha256) != file.size_bytes]
        if missing:
            named = ", ".join(missing[:NAMED_FILES]) + (", ..." if len(missing) > NAMED_FILES else "")
            count = plural(len(missing), "file")
            raise MissingFiles(f"{count} missing in the store, upload first: {named}", tuple(missing))

    def _write(self, tx: Transaction, submission: JobSubmission, now: float, *, probe: bool) -> str:
        settings, scene = submission.settings, submission.description
        slots = self._slots(tx, settings.agents_max)
        strategy, reason = choose_strategy(settings, scene, slots=slots)
        ranges = self._ranges(settings, scene, strategy, slots=slots)
        job_id = base64.b32encode(secrets.token_bytes(5)).decode().lower()
        job = {"id": job_id, "lane": _emptiest_lane(tx), "state": State.CREATED, "created_at": now}
        job |= _counts(settings, len(ranges)) | _rules(settings, scene, strategy, reason) | _what(submission)
        if probe:
            # Its calls are chosen: see probing.in_calls.
            job |= {"probe": True, "one_call": True}
        tx.jobs.insert([job])
        tx.blobs.note(submission.files, now)
        tx.jobs.add_files(job_id, submission.files)
        self._write_frames(tx, job_id, settings, ranges)
        tx.jobs.update(tx.jobs.need(job_id), state=State.QUEUED)
        what = f"{plural(len(settings.frames), 'frame')} of {plural(settings.samples, 'sample')}"
        self._log(tx, f"submitted: {what}", now=now, job=job_id)
        self._log(tx, f"strategy {strategy.value}: {reason}", now=now, job=job_id)
        self._log_warnings(tx, exactness.warnings(scene), now=now, job=job_id)
        self._log_warnings(tx, self._memory_notes(tx, job_id), now=now, job=job_id)
        return job_id

    def memory_warnings(self, job_id: str) -> list[str]:
        """Agents that cannot hold a job's scene, by what it took before; also in the job's log."""
        with self.ledger.read() as tx:
            return self._memory_notes(tx, job_id)

    def _memory_notes(self, tx: Transaction, job_id: str) -> list[str]:
        job = tx.jobs.need(job_id)
        return scene_notes(tx, self._scene(tx, job).tree, job.scene_path)

    def _write_frames(self, tx: Transaction, job_id: str, settings: JobSettings, ranges: list[SampleRange]) -> None:
        ids = {number: f"{job_id}.f{number}" for number in settings.frames}
        empty: dict[str, Any] = {"job_id": job_id, "state": State.CREATED, "stage": Stage.RENDER}
        empty |= {"samples": settings.samples, "chunks": len(ranges)}
        tx.frames.insert(
            [{**empty, "id": frame, "position": i, "number": n} for i, (n, frame) in enumerate(ids.items())]
        )
        tx.chunks.plan(job_id, ids.values(), ranges)

    def _ranges(
        self, settings: JobSettings, scene: SceneDescription, strategy: Strategy, *, slots: int
    ) -> list[SampleRange]:
        """The chunks of every frame while nothing is measured."""
        if strategy is Strategy.FRAME:
            return [SampleRange(0, settings.samples)]
        return planner.plan_frame(
            settings.samples,
            slots=planner.frame_slots(slots, len(settings.frames)),
            chunk_time_max_s=self.settings.chunk_time_max_s,
            load_share_max=self.settings.load_share_max,
            max_chunks=self.settings.max_chunks_per_frame,
            chunk_samples=settings.chunk_samples,
            default_chunk_samples=self.settings.chunk_samples,
            minimum=exactness.minimum_chunk(scene),
            least_chunks=SPLIT_CHUNKS if settings.strategy is Strategy.SPLIT else 1,
        )

    def _replan(self, tx: Transaction, job: JobRow, frame: FrameRow) -> list[SampleRange]:
        """The chunks of a frame that nobody has worked on, by what is measured by now. Split frames stay split."""
        return planner.plan_frame(
            job.samples,
            slots=planner.frame_slots(
                self._slots(tx, job.agents_max), job.frames_total - job.frames_completed - job.frames_failed
            ),
            chunk_time_max_s=self.settings.chunk_time_max_s,
            load_share_max=self.settings.load_share_max,
            max_chunks=self.settings.max_chunks_per_frame,
            sample_s=job.sample_s,
            load_s=job.mean_load_s,
            default_chunk_samples=self.settings.chunk_samples,
            minimum=job.minimum_chunk,
            least_chunks=min(SPLIT_CHUNKS, frame.chunks),
        )


def check(submission: JobSubmission) -> None:
    """Raise SceneError or UserError when the job could not be rendered, whatever the store holds."""
    check_scene(submission.description)
    for what, values in (("frame", submission.settings.frames), ("file", [file.path for file in submission.files])):
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise UserError(f"{what} {twice[0]} is listed more than once")
    if submission.scene not in {file.path for file in submission.files}:
        raise UserError(f"the scene {submission.scene!r} is not among the job's files")


def check_scene(scene: SceneDescription) -> None:
    """Raise SceneError when the scene could not be rendered."""
    if scene.engine != "CYCLES":
        raise SceneError(
            f"scene {scene.scene!r} renders with {scene.engine}, not Cycles: set the render engine to Cycles"
        )
    if not scene.has_camera:
        raise SceneError(f"scene {scene.scene!r} has no camera: add one and make it the active camera")
    if not scene.layers:
        raise SceneError(f"scene {scene.scene!r} has no view layer that is used for rendering")


def choose_strategy(settings: JobSettings, scene: SceneDescription, *, slots: int) -> tuple[Strategy, str]:
    """Whole frames or sample chunks, and why."""
    if settings.strategy is Strategy.AUTO and settings.chunk_samples is not None:
        return Strategy.SPLIT, f"chunks of {plural(settings.chunk_samples, 'sample')} were asked for"
    return planner.choose_strategy(
        settings.strategy,
        frames=len(settings.frames),
        slots=slots,
        samples=settings.samples,
        exact=not exactness.obstacles(scene, samples=settings.samples),
    )


def layer_samples(scene: SceneDescription, samples: int) -> list[tuple[str, int]]:
    """View layers with their samples when the frame gets `samples`: each keeps its share of the scene's number."""
    return [(layer.name, max(1, round(layer.samples * samples / scene.samples))) for layer in scene.layers]


def _counts(settings: JobSettings, chunks: int) -> dict[str, Any]:
    frames = len(settings.frames)
    return {"frames_total": frames, "samples_total": frames * settings.samples, "chunks_total": frames * chunks}


def _rules(settings: JobSettings, scene: SceneDescription, strategy: Strategy, reason: str) -> dict[str, Any]:
    """How the job is rendered and merged."""
    assessment = exactness.assess(scene, strategy=strategy, samples=settings.samples)
    return {
        "strategy": strategy,
        "strategy_reason": reason,
        "exactness": assessment.exactness,
        "reasons": list(assessment.reasons),
        "one_call": exactness.one_call(scene, strategy, samples=settings.samples),
        "adaptive": scene.adaptive,
        "minimum_chunk": exactness.minimum_chunk(scene),
        "samples": settings.samples,
        "chunk_samples": settings.chunk_samples,
        "layers": layer_samples(scene, settings.samples),
        "merge_only": scene.merge_only,
    }


def picture_size(scene: SceneDescription, percentage: int | None) -> tuple[int, int]:
    """Pixels of a frame at the job's own resolution percentage, None: the scene's. Cut off as Blender does."""
    if percentage is None:
        return scene.width, scene.height
    width = (scene.full_width or scene.width) * percentage // 100
    height = (scene.full_height or scene.height) * percentage // 100
    if scene.crop:
        left, right, bottom, top = scene.crop
        width, height = int(right * width) - int(left * width), int(top * height) - int(bottom * height)
    return max(1, width), max(1, height)


def _what(submission: JobSubmission) -> dict[str, Any]:
    """What the job is, in the submitter's words."""
    settings, scene = submission.settings, submission.description
    width, height = picture_size(scene, settings.resolution_percentage)
    return {
        "name": submission.name,
        "scene": submission.scene,
        "root": submission.root,
        "priority": settings.priority,
        "cap_usd": settings.cap_usd,
        "agents_max": settings.agents_max,
        "blender": settings.blender,
        "device": settings.device,
        "allow_scripts": settings.allow_scripts,
        "resolution_percentage": settings.resolution_percentage,
        "width": width,
        "height": height,
        "movie": scene.movie,
        "output_name": scene.output_name,
    }


def _emptiest_lane(tx: Transaction) -> int:
    loads = tx.jobs.lane_loads()
    return min(range(RENDER_LANES), key=lambda lane: loads.get(lane, 0))
