"""Bringing a job's results home: what is missing, by hash, never over something newer unasked."""

import os

from .downloads import download
from .files import check
from .places import NEWER, THERE, decide, path_of

CAP_REACHED = "cap_reached"
"""What the Manager says when a cap of the farm has no room for sending a file."""
AGAIN_S = 60.0
"""Then it is asked again after so long: nobody tells when a cap is raised."""


class Fetched:
    """What a fetch did: paths that came, were there already, and were left alone because something newer is there."""

    def __init__(self):
        self.came = []
        self.there = []
        self.newer = []


class Unpaid:
    """Jobs whose pictures wait because a cap of the farm has no room for bringing them home."""

    def __init__(self):
        self._jobs = {}
        """Job -> (why, when to ask again)."""

    def note(self, job_id, why, now):
        """The Manager has said why."""
        self._jobs[job_id] = (why, now + AGAIN_S)

    def drop(self, job_id):
        """It waits no longer."""
        self._jobs.pop(job_id, None)

    def clear(self):
        """Another Manager is used."""
        self._jobs = {}

    def why(self, job_id):
        """In the Manager's words; '': it does not wait."""
        return self._jobs[job_id][0] if job_id in self._jobs else ""

    def asks(self, job_id, now):
        """Whether it is time to ask for a job that waits; then it is not for a while."""
        why, again_at = self._jobs[job_id]
        if now < again_at:
            return False
        self.note(job_id, why, now)
        return True


def job_mark(job):
    """What there is to fetch of a job as the API gives it: how far it is; None: nobody knows."""
    return [job["state"], job["frames_completed"]] if "state" in job else None


def unfetched(notes, marks, stop):
    """Ids of jobs that were sent from here and fetched for another mark than now; `marks`: id -> job_mark."""
    found = []
    for job_id, mark in marks.items():
        check(stop)
        note = notes.read(job_id)
        if note is not None and note.get("fetched_for") != mark:
            found.append(job_id)
    return found


def fetch_results(
    manager, notes, job_id, place, frame_name, stop, overwrite=False, merged=True, progress=None, mark=None
):
    """Fetch every result of a job that is not here. Raises as downloads.download.

    `place`: {'directory', 'name'} instead of the note's, or of a job without note; `merged`: the multilayer EXRs, too,
    unless the note says otherwise; `progress(done, count)` after each file; `mark`: noted when nothing was left out.
    """
    note = notes.read(job_id)
    own = None if note is None else note.get("merged")
    keep = merged if own is None else own
    wanted = [result for result in manager.results(job_id) if keep or result["kind"] != "merged"]
    # What came is noted wherever it came to.
    where = note if place is None else dict(note or {}, homes={}, **place)
    done = Fetched()
    try:
        for count, result in enumerate(wanted, 1):
            check(stop)
            _fetch_one(manager, where, result, frame_name, stop, overwrite, done)
            if progress is not None:
                progress(count, len(wanted))
        if note is not None and mark and not done.newer:
            note["fetched_for"] = mark
    finally:
        if note is not None:
            notes.write(job_id, note)
    return done


def _fetch_one(manager, where, result, frame_name, stop, overwrite, done):
    path, sha256 = path_of(where, result, frame_name), result["sha256"]
    ours = where.get("fetched", {}).get(path, [])
    seen = where.setdefault("seen", {})
    # A file that nobody touched since it was hashed is not read again.
    state = THERE if seen.get(path) == [sha256, _mark(path)] else decide(path, result, ours, where.get("submitted_at"))
    if state == NEWER and not overwrite:
        done.newer.append(path)
        return
    if state == THERE:
        done.there.append(path)
    else:
        download(manager, sha256, path, stop)
        done.came.append(path)
    seen[path] = [sha256, _mark(path)]
    if sha256 not in ours:
        where.setdefault("fetched", {})[path] = [*ours, sha256]


def _mark(path):
    """What changes when somebody writes to a file: its age and size; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]


def home_copy(note, result, frame_name):
    """Where a result lies that came home and that nobody touched since; None when there is no such file."""
    if note is None:
        return None
    path = path_of(note, result, frame_name)
    return path if note.get("seen", {}).get(path) == [result["sha256"], _mark(path)] else None
