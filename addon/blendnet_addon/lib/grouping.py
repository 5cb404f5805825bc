"""The list of jobs by the scene they were made from."""

from .temporary import COPY_PREFIX


class Group:
    """A scene's jobs, newest first."""

    def __init__(self, key, jobs):
        self.key = key
        """The scene's path; of one that was never saved its name."""
        self.jobs = jobs

    @property
    def title(self):
        return _parts(self.key)[-1] or "Other jobs"


def grouped(jobs):
    """Jobs as a Manager lists them, by scene. The scene whose job is the newest comes first."""
    found = {}
    for job in sorted(jobs, key=lambda job: -job["created_at"]):
        found.setdefault(_key(job), []).append(job)
    return [Group(key, found[key]) for key in found]


def summary(job):
    """How a job is, in a few words: 'active 42%', '20 frames, 42%', '20 frames, completed'."""
    state, frames, total = job["state"], job["frames_total"], job["samples_total"]
    done = f"{job['samples_done'] / total:.0%}" if total and state not in ("completed", "canceled") else ""
    if frames == 1:
        return f"{state} {done}".rstrip()
    return f"{frames} frames, {done if done and state == 'active' else state}"


def _key(job):
    path = job.get("scene_path", "")
    parts = _parts(path)
    # A scene that was never saved lies nowhere else.
    return parts[-1] if len(parts) > 1 and parts[-2].startswith(COPY_PREFIX) else path


def _parts(path):
    return path.replace("\\", "/").split("/")
