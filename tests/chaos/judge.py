"""Whether a run left everything as it has to be. Every finding is a sentence; none means innocent."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from blendnet.merge import exr
from blendnet.merge.frame import SegmentFile, merge_segments
from blendnet.settings import Settings, store_folder
from blendnet.storage.disk import hash_file
from blendnet.storage.files import FileStore
from tests.chaos.records import Records

TOLERANCE = 2e-6
"""Largest |a - b| / max(1, |b|) of any value of any channel. Which samples share a segment depends on the faults, and
sums of 32-bit floats depend on how they are bracketed."""
Reference = Mapping[int, Path]
"""Frame number -> merged EXR of the run without faults."""


class Judge:
    """Looks at one farm's ledger and store."""

    def __init__(self, data: Path, reference: Reference) -> None:
        self.records = Records(data / "ledger.sqlite")
        self.store = FileStore(store_folder(Settings(data=data)))
        self.reference = reference
        self.worst = 0.0
        """Largest difference from the reference so far, in the unit of TOLERANCE."""

    def findings(self, jobs: list[str]) -> list[str]:
        """What is wrong with these jobs and with the store."""
        found = [finding for job in jobs for finding in self._of_job(job)]
        return found + list(self._of_store())

    def merged(self, job: str) -> dict[int, Path]:
        """The merged EXR of each frame."""
        query = "select number, merged from frames where job_id = ? and merged is not null"
        return {row["number"]: self.store.path(row["merged"]) for row in self.records.rows(query, job)}

    def strangers(self) -> int:
        """Files in the store that the ledger does not know: blobs whose upload nobody lived to write down."""
        return len({path.name for path in (self.store.root / "blobs").glob("*/*")} - self.records.blobs())

    def _of_job(self, job: str) -> Iterator[str]:
        for frame in self.records.rows("select * from frames where job_id = ?", job):
            name = f"frame {frame['number']} of job {job}"
            if (frame["state"], frame["stage"]) != ("completed", "done"):
                yield f"{name} is {frame['state']}, stage {frame['stage']}: {frame['message']}"
                continue
            kinds = {row["kind"] for row in self.records.rows("select * from results where frame_id = ?", frame["id"])}
            if not {"merged", "image"} <= kinds:
                yield f"{name} has only the results {sorted(kinds)}"
            yield from (f"{name}: {finding}" for finding in self._of_frame(frame))
        yield from self._of_sums(job)

    def _of_frame(self, frame: Mapping[str, Any]) -> Iterator[str]:
        segments = self.records.rows('select * from segments where frame_id = ? order by "offset"', frame["id"])
        end = 0
        for segment in segments:
            if segment["offset"] != end:
                yield f"samples {end} to {segment['offset']} are not covered once"
            end = segment["offset"] + segment["count"]
        if end != frame["samples"]:
            yield f"{end} of {frame['samples']} samples are covered"
        elif not any(self._damage(segment["sha256"]) for segment in segments):
            yield from self._of_picture(frame, segments)

    def _of_picture(self, frame: Mapping[str, Any], segments: list[dict[str, Any]]) -> Iterator[str]:
        merged = self.store.path(frame["merged"])
        worst, channel = worst_difference(merged, self.reference[frame["number"]])
        self.worst = max(self.worst, worst)
        if worst > TOLERANCE:
            yield f"channel {channel} differs by {worst:.2e} from the run without faults"
        if not self._merges_again(frame, segments, merged):
            yield "the same segments in another order merge to another file"

    def _merges_again(self, frame: Mapping[str, Any], segments: list[dict[str, Any]], merged: Path) -> bool:
        """Merge again, in another order; True when every bit of every channel is the same."""
        files = [SegmentFile(self.store.path(s["sha256"]), s["offset"], s["count"]) for s in segments]
        random.Random(frame["id"]).shuffle(files)
        kept = exr.read(merged).channels
        with tempfile.TemporaryDirectory() as folder:
            again = Path(folder) / "again.exr"
            merge_segments(files, again, total=frame["samples"])
            other = exr.read(again).channels
        # The merge leaves out what only it wanted: those channels are extra here.
        return all(np.array_equal(kept[name].view(np.uint32), other[name].view(np.uint32)) for name in kept)

    def _of_sums(self, job: str) -> Iterator[str]:
        """The ledger's counters against what they count."""
        query = (
            "select j.samples_done, j.samples_total, j.frames_completed, j.frames_total, j.state,"
            ' (select sum("count") from segments s join frames f on f.id = s.frame_id where f.job_id = j.id) segments'
            " from jobs j where j.id = ?"
        )
        row = self.records.rows(query, job)[0]
        if not row["samples_done"] == row["samples_total"] == row["segments"]:
            yield f"job {job} counts its samples wrong: {row}"
        if row["state"] != "completed" or row["frames_completed"] != row["frames_total"]:
            yield f"job {job} counts its frames wrong: {row}"
        bad = "select count(*) n from chunks where job_id = ? and (state != 'completed' or lease_until is not null)"
        if count := self.records.rows(bad, job)[0]["n"]:
            yield f"{count} chunks of job {job} are not completed, or leased for ever"

    def _of_store(self) -> Iterator[str]:
        for sha256 in self.records.referred():
            if damage := self._damage(sha256):
                yield damage

    def _damage(self, sha256: str) -> str:
        if not self.store.has(sha256):
            return f"blob {sha256} is not in the store"
        found = hash_file(self.store.path(sha256))[0].hexdigest()
        return "" if found == sha256 else f"blob {sha256} hashes to {found}"


def worst_difference(merged: Path, reference: Path) -> tuple[float, str]:
    """Largest |a - b| / max(1, |b|) of all values of all channels, and its channel."""
    ours, theirs = exr.read(merged).channels, exr.read(reference).channels
    if set(ours) != set(theirs):
        return float("inf"), f"set {sorted(set(ours) ^ set(theirs))}"
    return max((_difference(ours[name], theirs[name]), name) for name in theirs)


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(b)
    if a.shape != b.shape or not np.array_equal(finite, np.isfinite(a)):
        return float("inf")
    return float((np.abs(a - b)[finite] / np.maximum(1.0, np.abs(b[finite]))).max(initial=0.0))
