"""From a merged frame to its pictures, and from finished frames to a video, in the warm Blender of an agent."""

from __future__ import annotations

import logging
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from blendnet.agent import multilayer
from blendnet.agent.attempt import HaltedCall, Outcome, claim_work, ended_call, failure_of, last_word
from blendnet.agent.failure import interruption_report
from blendnet.agent.lease import Halt, Lease
from blendnet.agent.slot import Slot
from blendnet.agent.uploads import patiently
from blendnet.errors import LeaseLost, ManagerFull, ManagerUnreachable, StoreUnreachable
from blendnet.messages import (
    MAX_WARNING_LENGTH,
    MAX_WARNINGS,
    Blob,
    ChunkAnswer,
    EncodeClaim,
    FailureReport,
    FinishClaim,
    FinishReport,
    SceneFiles,
)

logger = logging.getLogger(__name__)


def finish_frame(slot: Slot, frame_id: str, *, task: str = "") -> Outcome:
    """Composite a merged frame and store its files. Whatever goes wrong is reported to the Manager, not raised."""
    if slot.shutdown.is_set():
        return Outcome.INTERRUPTED
    claim = claim_work(slot, lambda request: slot.client.claim_finish(frame_id, request), task=task)
    if claim is None or claim.state != "finish" or claim.scene is None:
        return Outcome.DONE if claim is not None and claim.state == "done" else Outcome.DROPPED
    return FinishAttempt(slot, frame_id, claim, claim.scene).run()


def encode_job(slot: Slot, job_id: str, *, task: str = "") -> Outcome:
    """Make the video of a job's finished frames. Whatever goes wrong is reported to the Manager, not raised."""
    if slot.shutdown.is_set():
        return Outcome.INTERRUPTED
    claim = claim_work(slot, lambda request: slot.client.claim_encode(job_id, request), task=task)
    if claim is None or claim.state != "encode" or claim.scene is None:
        return Outcome.DONE if claim is not None and claim.state == "done" else Outcome.DROPPED
    return EncodeAttempt(slot, job_id, claim, claim.scene).run()


class OutputAttempt(ABC):
    """One attempt at making and storing files with the warm Blender."""

    def __init__(self, slot: Slot, id_: str, *, token: int, lease_s: float, scene: SceneFiles) -> None:
        self._slot = slot
        self._id = id_
        self._token = token
        self._scene = scene
        self._folder = slot.scratch / "outputs"
        self._report = FinishReport(token=token)
        self._lease = Lease(self._beat, lease_s=lease_s, shutdown=slot.shutdown, end_call=slot.warm.kill)

    def run(self) -> Outcome:
        """Make, store and report."""
        with self._lease:
            try:
                self._folder.mkdir()
                self._make_and_store()
                patiently(self._done, stop=self._lease.dropped)
                return Outcome.DONE
            except HaltedCall:
                return self._give_back()
            except (LeaseLost, ManagerUnreachable) as error:
                logger.warning("%s is dropped: %s", self._id, error)
                return Outcome.DROPPED
            except (ManagerFull, StoreUnreachable) as error:
                logger.warning("%s is given back: %s", self._id, error)
                report = interruption_report(self._token, str(error))
                last_word(lambda: self._failed(report), slot=self._slot)
                return Outcome.DROPPED
            except Exception as error:  # whatever it is, the Manager has to know that the attempt failed
                logger.exception("%s failed", self._id)
                failure = failure_of(self._slot, self._token, error)
                last_word(lambda: self._failed(failure), slot=self._slot)
                return Outcome.DROPPED
            finally:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _make_and_store(self) -> None:
        slot = self._slot
        workspace = slot.workspace(self._scene)
        ended_call(self._lease, lambda: slot.warm.load(self._scene, workspace), expected_s=None)
        self._fetch()
        started = time.monotonic()
        answer = ended_call(self._lease, self._make, expected_s=None)
        self._note_made(answer.get("warnings", ()), time.monotonic() - started)
        for output in answer["outputs"]:
            if self._lease.halt is not None and self._lease.halt.drops_work:
                raise HaltedCall(self._lease.halt.value)
            patiently(partial(self._store, output), stop=self._lease.dropped)

    def _note_made(self, warnings: Sequence[str], seconds: float) -> None:
        for warning in warnings:
            logger.warning("%s: %s", self._id, warning)
        self._report = FinishReport(
            token=self._token,
            warnings=[text[:MAX_WARNING_LENGTH] for text in warnings[:MAX_WARNINGS]],
            finish_s=seconds,
            peak_memory_bytes=self._slot.warm.peak_memory_bytes,
        )

    def _give_back(self) -> Outcome:
        halt = self._lease.halt
        if halt is None or halt.drops_work:
            return Outcome.DROPPED
        report = interruption_report(self._token, self._lease.reason)
        last_word(lambda: self._failed(report), slot=self._slot)
        return Outcome.INTERRUPTED if halt is Halt.SHUTDOWN else Outcome.DROPPED

    @abstractmethod
    def _beat(self) -> ChunkAnswer:
        """Renew the lease."""

    @abstractmethod
    def _fetch(self) -> None:
        """Bring what Blender needs besides the scene into the folder."""

    @abstractmethod
    def _make(self) -> dict[str, Any]:
        """Blender's answer, with `outputs`."""

    @abstractmethod
    def _store(self, output: Mapping[str, str]) -> None:
        """Send one output to the Manager."""

    @abstractmethod
    def _done(self) -> None: ...

    @abstractmethod
    def _failed(self, report: FailureReport) -> None: ...


class FinishAttempt(OutputAttempt):
    """One attempt at the pictures of a frame."""

    def __init__(self, slot: Slot, frame_id: str, claim: FinishClaim, scene: SceneFiles) -> None:
        super().__init__(slot, frame_id, token=claim.token, lease_s=claim.lease_s, scene=scene)
        self._claim = claim
        self._merged = self._folder / "merged.exr"
        self._pictures = self._folder / "pictures"

    def _beat(self) -> ChunkAnswer:
        return self._slot.client.heartbeat_finish(self._id, token=self._token)

    def _fetch(self) -> None:
        assert self._claim.merged is not None
        self._slot.cache.place(self._claim.merged, self._merged, self._slot.client.download)
        self._slot.cache.trim()

    def _make(self) -> dict[str, Any]:
        answer = self._slot.warm.finish(
            frame=self._claim.frame,
            merged=str(self._merged),
            directory=str(self._pictures),
            name=self._claim.output_name,
            resolution_percentage=self._scene.resolution_percentage,
        )
        multilayer.complete(self._pictures, answer)
        return answer

    def _store(self, output: Mapping[str, str]) -> None:
        path = output["path"]
        self._slot.client.add_result(
            self._id, token=self._token, kind=output["kind"], path=path, file=self._pictures / path
        )

    def _done(self) -> None:
        self._slot.client.done_finish(self._id, self._report)

    def _failed(self, report: FailureReport) -> None:
        self._slot.client.failed_finish(self._id, report)


class EncodeAttempt(OutputAttempt):
    """One attempt at the video of a job."""

    def __init__(self, slot: Slot, job_id: str, claim: EncodeClaim, scene: SceneFiles) -> None:
        super().__init__(slot, job_id, token=claim.token, lease_s=claim.lease_s, scene=scene)
        self._claim = claim
        self._pictures: Sequence[Path] = ()

    def _beat(self) -> ChunkAnswer:
        return self._slot.client.heartbeat_encode(self._id, token=self._token)

    def _fetch(self) -> None:
        images = self._claim.images
        self._pictures = [self._folder / f"{n:06d}{Path(image.path).suffix}" for n, image in enumerate(images)]
        for image, path in zip(images, self._pictures, strict=True):
            blob = Blob(sha256=image.sha256, size_bytes=image.size_bytes)
            self._slot.cache.place(blob, path, self._slot.client.download)
        self._slot.cache.trim()

    def _make(self) -> dict[str, Any]:
        images = self._claim.images
        return self._slot.warm.encode(
            images=[str(path) for path in self._pictures],
            output=str(self._folder / "video" / self._claim.output_name),
            first=images[0].frame if images else None,
            last=images[-1].frame if images else None,
        )

    def _store(self, output: Mapping[str, str]) -> None:
        file = Path(output["path"])
        self._slot.client.add_encode_result(self._id, token=self._token, kind=output["kind"], path=file.name, file=file)

    def _done(self) -> None:
        self._slot.client.done_encode(self._id, self._report)

    def _failed(self, report: FailureReport) -> None:
        self._slot.client.failed_encode(self._id, report)
