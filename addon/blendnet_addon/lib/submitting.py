"""From a scene that was saved and described to a job: which Blender renders it, hash, upload, submit."""

import time

from .errors import SceneError
from .files import check
from .notes import new_note
from .uploads import upload_missing


def choose_blender(wanted, here, agents):
    """The full version that renders: `wanted` ('' for this Blender's own series) among those of the farm's agents.

    What Blender says of a scene holds for its own series alone (4.5, say), so no other is chosen. While no agent has
    told its builds, it is this very Blender's version. Raises SceneError.
    """
    there = sorted({build for agent in agents for build in agent.get("blenders", [])}, key=_order)
    series = ".".join(here.split(".")[:2])
    if wanted:
        fitting = [build for build in there if build == wanted or build.startswith(wanted + ".")]
    else:
        fitting = [build for build in there if build == here] or [b for b in there if b.startswith(series + ".")]
    if fitting:
        if not fitting[-1].startswith(series + "."):
            raise SceneError(f"Blender {here} cannot prepare a scene for Blender {fitting[-1]}: open it in that one")
        return fitting[-1]
    if not there:
        return here
    raise SceneError(
        f"no agent has Blender {wanted or series}, they have {', '.join(there)}: on their machine run "
        f"`blendnet blender install {wanted or series}`"
    )


def _order(version):
    return [int(part) if part.isdigit() else -1 for part in version.split(".")]


class Shipment:
    """One job on its way; `progress` is read by the panel while a worker is in `send`."""

    def __init__(self, manager, notes, parcel, name, settings, description, scene, merged=None, homes=None):
        self._manager = manager
        self._notes = notes
        self._parcel = parcel
        self._name = name
        self._settings = settings
        self._description = description
        self._scene = scene
        self._merged = merged
        self._homes = homes
        self.step = "Reading files"
        self.share = 0.0
        """How much of the step is done, 0 to 1."""
        self._sent = 0

    def send(self, stop):
        """Hash, upload, submit; the job as the Manager shows it. Raises the add-on's errors, Stopped among them."""
        submitted_at = time.time()
        self._parcel.hash(self._hashed, stop)
        self.step, self.share = "Sending files", 0.0
        upload_missing(self._manager, self._parcel.uploads(), self._uploaded, stop)
        self.step = "Submitting"
        job = self._manager.submit(self._parcel.submission(self._name, self._settings, self._description))
        if stop.is_set():
            # In the very last moment: what was stopped must not cost.
            self._manager.steer(job["id"], "cancel")
            check(stop)
        frames = self._settings["frames"]
        note = new_note(self._description, self._scene, submitted_at, frames, self._merged, self._homes)
        self._notes.write(job["id"], note)
        return job

    def _hashed(self, done, count):
        self.share = done / count

    def _uploaded(self, count):
        self._sent += count
        self.share = min(1.0, self._sent / max(1, self._parcel.total_bytes))
