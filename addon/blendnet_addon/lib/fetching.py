"""Bringing a job's results home: what is missing, by hash, never over something newer unasked."""

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
    where, done = note or place, Fetched()
    wanted = [result for result in manager.results(job_id) if merged or result["kind"] != "merged"]
    for count, result in enumerate(wanted, 1):
        check(stop)
        path = path_of(where, result, frame_name)
        ours = (note or {}).get("fetched", {}).get(path, [])
        state = decide(path, result, ours, (note or {}).get("submitted_at"))
        if state == THERE:
            done.there.append(path)
        elif state == NEWER and not overwrite:
            done.newer.append(path)
        else:
            download(manager, result["sha256"], path, stop)
            done.came.append(path)
        if note is not None and path not in done.newer and result["sha256"] not in ours:
            note["fetched"].setdefault(path, []).append(result["sha256"])
            notes.write(job_id, note)
        if progress is not None:
            progress(count, len(wanted))
    return done
