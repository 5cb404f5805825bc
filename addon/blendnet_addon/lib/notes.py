"""What this computer remembers of a job: where its results go, which of them are here. Survives Blender."""

import os

from . import files


class Notes:
    """One JSON file per job, for this user alone."""

    def __init__(self, folder):
        self._folder = folder

    def read(self, job_id):
        """The note of a job; None when it was sent from elsewhere."""
        note = files.read_json(self._path(job_id))
        return note if isinstance(note, dict) and "directory" in note else None

    def has(self, job_id):
        """Whether a job was sent from here: without reading its note, which may be large."""
        return os.path.exists(self._path(job_id))

    def write(self, job_id, note):
        """Raises DiskError."""
        files.write_json(self._path(job_id), note)

    def forget(self, job_id):
        files.remove(self._path(job_id))

    def _path(self, job_id):
        return os.path.join(self._folder, "".join(c for c in job_id if c.isalnum() or c in "-_") + ".json")


def new_note(description, scene, submitted_at, frames, merged=None, homes=None):
    """The note of a job that was just sent. `submitted_at`: seconds since the epoch.

    `merged`: whether multilayer EXRs come home, None: as the preferences say; `homes`: as places.path_of. In the note,
    `fetched`: path -> hashes of all that ever came there; `seen`: path -> [hash, its age and size then].
    """
    directory = description["output_directory"]
    if not os.path.isabs(directory):
        directory = os.path.join(os.path.expanduser("~"), "blendnet-renders")
    return {
        "directory": directory,
        "name": description["output_name"] or "####",
        "scene": scene,
        "submitted_at": submitted_at,
        "frames": frames,
        "merged": merged,
        "homes": homes or {},
        "fetched": {},
        "seen": {},
    }
