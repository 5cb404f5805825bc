"""Following a job until it ends: what it looks like now, its results as they appear."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from blendnet.cli.downloads import Downloads
from blendnet.client import ManagerClient
from blendnet.errors import ManagerUnreachable
from blendnet.messages import FrameView, JobView, ResultView

QUICK_POLL_S, SLOW_POLL_S = 0.2, 2.0
"""Time between two looks at a job: every look costs the Manager's machine, which may be rendering, a few
milliseconds, and agents tell something new every few seconds."""
REST_SHARE = 0.25
"""The next look comes after this share of the time that the job is expected to take."""
LATE_SHARE = 0.03
"""While nobody knows when a job ends, its end is seen late by this share of its time at most."""
SHARE_OF_TIME = 0.1
"""Polling may take this share of the time: lists of long jobs are asked for less often."""
FRAMES_SHOWN_MAX = 300
"""Jobs with more frames are shown without a line per frame."""
UNREACHABLE_S = 30.0
"""How long the Manager may be away (it restarts) before the command gives up."""
PAGE = 1000


@dataclass(frozen=True)
class Snapshot:
    """A job at one moment."""

    job: JobView
    frames: tuple[FrameView, ...]
    """() for a job with very many."""

    @property
    def samples_done(self) -> int:
        """Samples rendered, those not committed yet included as far as previews show them."""
        if not self.frames:
            return self.job.samples_done
        return sum(min(frame.samples, max(frame.done, frame.preview_samples)) for frame in self.frames)


def all_frames(client: ManagerClient, job_id: str) -> list[FrameView]:
    """Every frame of a job, in its order."""
    frames: list[FrameView] = []
    while page := client.frames(job_id, after=len(frames) - 1, limit=PAGE):
        frames += page
    return frames


def follow(
    client: ManagerClient,
    job_id: str,
    *,
    show: Callable[[Snapshot], None],
    downloads: Downloads | None = None,
) -> JobView:
    """Show a job and fetch its results until it ends; the job as it ended.

    Raises:
        ManagerUnreachable: the Manager was away for more than 30 s.
        BlendNetError: a download failed.
    """
    watcher = _Watcher(client, job_id, downloads)
    while True:
        snapshot = watcher.look()
        if snapshot:
            show(snapshot)
            if snapshot.job.state.final:
                watcher.fetch_results()
                return snapshot.job
        time.sleep(watcher.pause_s())


def pause_s(watched_s: float, remaining_s: float | None) -> float:
    """Seconds until the next look at a job that is watched for `watched_s` seconds and takes `remaining_s` more.

    PURE. `remaining_s` None: nobody knows.
    """
    if remaining_s is None:
        return min(max(QUICK_POLL_S, LATE_SHARE * watched_s), SLOW_POLL_S)
    return min(max(QUICK_POLL_S, REST_SHARE * remaining_s), SLOW_POLL_S)


class _Watcher:
    def __init__(self, client: ManagerClient, job_id: str, downloads: Downloads | None) -> None:
        self._client = client
        self._job_id = job_id
        self._downloads = downloads
        self._started = self._answered = time.monotonic()
        self._completed = 0
        self._results_s = 0.0
        self._results_at = 0.0
        self._remaining_s: float | None = None

    def look(self) -> Snapshot | None:
        """The job now; None when the Manager does not answer just now."""
        try:
            job = self._client.job(self._job_id)
            frames = tuple(self._client.frames(job.id)) if job.frames_total <= FRAMES_SHOWN_MAX else ()
            if job.frames_completed != self._completed and self._results_are_due():
                self.fetch_results()
                self._completed = job.frames_completed
        except ManagerUnreachable:
            if time.monotonic() - self._answered > UNREACHABLE_S:
                raise
            return None
        self._answered = time.monotonic()
        self._remaining_s = job.remaining_s
        if self._downloads:
            self._downloads.check()
        return Snapshot(job, frames)

    def fetch_results(self) -> None:
        """Hand what is finished to the downloads."""
        if self._downloads:
            before = time.monotonic()
            results: list[ResultView] = self._client.results(self._job_id)
            self._results_at = time.monotonic()
            self._results_s = self._results_at - before
            self._downloads.offer(results)

    def pause_s(self) -> float:
        """Seconds until the next look."""
        return pause_s(time.monotonic() - self._started, self._remaining_s)

    def _results_are_due(self) -> bool:
        return time.monotonic() - self._results_at >= self._results_s / SHARE_OF_TIME
