"""Bringing a job's results home: what is missing, by hash, never over something newer unasked."""

import os

from .downloads import download
from .files import check
from .places import NEWER, THERE, decide, path_of


class Fetched:
    """What a fetch did: paths that came, were there already, and were left alone because something newer is there."""

    def __init__(self):
        self.came = []
        self.there = []
        self.newer = []


def fetch_results(manager, notes, job_id, place, frame_name, stop, overwrite=False, merged=True, progress=None):
    """Fetch every result of a job that is not here. Raises as downloads.download.

    `place`: {'directory', 'name'} for a job without note; `merged`: the multilayer EXRs, too;
    `progress(done, count)` after each file.
    """
    note = notes.read(job_id)
    wanted = [result for result in manager.results(job_id) if merged or result["kind"] != "merged"]
    done = Fetched()
    try:
        for count, result in enumerate(wanted, 1):
            check(stop)
            _fetch_one(manager, note or place, result, frame_name, stop, overwrite, done)
            if progress is not None:
                progress(count, len(wanted))
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
