"""Which picture of a job is to be looked at now, and fetching it. Runs on a worker."""

import os

from .errors import AddonError, Refused

PICTURE, LAYERS = "PICTURE", "LAYERS"
"""Of a finished frame: the picture in the scene's format, or the merged EXR with its view layers and passes."""
KINDS = {PICTURE: ("image", "merged"), LAYERS: ("merged", "image")}
LINEAR = (".exr", ".hdr", ".dpx", ".cin")
"""Formats that hold values before the view transform."""
ENDED = ("completed", "failed", "canceled")
PAGE = 1000
"""Frames asked for at once."""


class Wish:
    """What somebody wants to see; the worker keeps its place in the list of frames here."""

    def __init__(self, job, number=None, kind=PICTURE):
        """`number`: None for the frame that is worked on."""
        self.job = job
        self.number = number
        self.kind = kind
        self.after = -1


class Shown:
    """A picture on this computer."""

    def __init__(self, wish, frame, mark, path, finished):
        self.wish = wish
        self.frame = frame
        """As the API gives it."""
        self.mark = mark
        """Equal for the same picture."""
        self.path = path
        self.finished = finished
        self.linear = os.path.splitext(path)[1].lower() in LINEAR


def look(manager, wish, seen, files, stop):
    """The picture that fulfils a wish; None when there is none, or none with another mark than `seen`.

    Raises AddonError.
    """
    frame = _choose(manager, wish)
    if frame is None:
        return None
    finished = frame["state"] == "completed"
    if not finished and not frame["preview_samples"]:
        return None
    mark = (wish.job, frame["number"], wish.kind if finished else frame["preview_samples"])
    if mark == seen:
        return None
    path = _finished(manager, wish, frame, files, stop) if finished else _preview(manager, wish, frame, files)
    return None if path is None else Shown(wish, frame, mark, path, finished)


def step(manager, job_id, number, by):
    """Number of the frame `by` places behind frame `number` in the job's order; None beyond its ends."""
    place = manager.frame(job_id, number)["position"] + by
    page = manager.frames(job_id, place - 1, 1) if place >= 0 else []
    return page[0]["number"] if page else None


def finished_frame(manager, job_id, number=None):
    """A finished frame of a job: `number`, or the last one. Raises AddonError when it is not finished."""
    if number is None:
        page = _page(manager, Wish(job_id))
        number = next((frame["number"] for frame in reversed(page) if frame["state"] == "completed"), None)
        if number is None:
            raise AddonError("no frame of the job is finished yet: wait for the first one")
    frame = manager.frame(job_id, number)
    if frame["state"] != "completed":
        raise AddonError(f"frame {number} is {frame['state']}: wait until it is completed")
    return frame


def result_of(manager, job_id, number, kind):
    """What shows a finished frame best; None when the Manager has none of it."""
    results = manager.results(job_id, number)
    ordered = [result for wanted in KINDS[kind] for result in results if result["kind"] == wanted]
    return ordered[0] if ordered else None


def _choose(manager, wish):
    """The frame to show: the wanted one; else the first that refines, else the last that is finished."""
    if wish.number is not None:
        return manager.frame(wish.job, wish.number)
    frames = _page(manager, wish)
    seen = [frame for frame in frames if frame["preview_samples"] and frame["state"] != "completed"]
    refining = [frame for frame in seen if frame["state"] == "active"]
    finished = [frame for frame in frames if frame["state"] == "completed"]
    return next(iter(refining[:1] or finished[-1:] or seen[-1:]), None)


def _page(manager, wish):
    """All frames of a job, of a long one a page with the first that has not ended."""
    while True:
        page = manager.frames(wish.job, wish.after, PAGE)
        if len(page) < PAGE or any(frame["state"] not in ENDED for frame in page):
            return page
        # The last one stays in sight: it is shown until the next one refines.
        wish.after = page[-1]["position"] - 1


def _preview(manager, wish, frame, files):
    try:
        return files.preview(manager.preview(wish.job, frame["number"]))
    except Refused:
        return None  # It was finished or given up meanwhile.


def _finished(manager, wish, frame, files, stop):
    result = result_of(manager, wish.job, frame["number"], wish.kind)
    return None if result is None else files.finished(manager, wish.job, result, stop)
