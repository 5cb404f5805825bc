"""Where a job's results go on this computer, and whether a file that is there already may be replaced."""

import os

from .errors import Refused
from .files import hash_file

MERGED_SUFFIX = "_merged.exr"
WRITE, THERE, NEWER = "write", "there", "newer"
"""What becomes of a result: fetch it; it is there; something else is there that is newer than the job."""


def path_of(place, result, frame_name):
    """Where a result goes; `place`: {'directory', 'name', 'homes'}, `frame_name(template, frame)` puts the number in.

    As the scene names it; the merged EXR lies beside the picture as <name>_merged.exr. 'homes', which may be absent:
    how paths of results begin that have another place -> what they begin with there. Raises Refused.
    """
    if result["kind"] == "merged" and result["frame"] is not None:
        return os.path.join(place["directory"], frame_name(place["name"], result["frame"]) + MERGED_SUFFIX)
    path, homes = _inside(result["path"]), place.get("homes") or {}
    begins = max((begin for begin in homes if path.startswith(begin)), key=len, default=None)
    if begins is not None:
        return os.path.normpath(homes[begins] + path[len(begins) :].replace("/", os.sep))
    return os.path.join(place["directory"], *path.split("/"))


def _inside(path):
    """The path of a result, as the Manager says it. Raises Refused when it leaves its folder, on Windows too."""
    if "\\" in path or path[1:2] == ":" or any(part in ("", ".", "..") for part in path.split("/")):
        raise Refused(f"the Manager names a result {path!r}, which leaves its folder: nothing was written for it")
    return path


def decide(path, result, ours, submitted_at):
    """WRITE, THERE or NEWER for a result that goes to `path`.

    `ours`: hashes of what was fetched to it before: that may be replaced. `submitted_at`: this computer's time at
    submission, in seconds since the epoch; None: unknown, so that whatever else is there counts as newer.
    """
    try:
        status = os.stat(path)
    except OSError:
        return WRITE
    if status.st_size == result["size_bytes"] or ours:
        sha256, _ = hash_file(path)
        if sha256 == result["sha256"]:
            return THERE
        if sha256 in ours:
            return WRITE
    return WRITE if submitted_at is not None and status.st_mtime < submitted_at else NEWER
