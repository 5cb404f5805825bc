"""What a job will take, before it is sent: asked of the Manager; a probe finds out when it does not know the scene."""

from . import parcel, submitting
from .errors import Refused, SceneError, Stopped
from .files import check
from .uploads import upload_missing
from .words import dollars, memory, plural, seconds

POLL_S = 1.0
"""Between two looks at a probe."""
ENDED = ("completed", "failed", "canceled")
NOT_THERE = (404, 405)
"""How Managers answer that cannot estimate."""


class Estimator:
    """One question to a Manager; the panel shows its `step` and `share`."""

    def __init__(self, manager, box, name, settings, description, scene_path, frames=1):
        """`box`: the job's files (parcel.Parcel); `settings`: messages.JobSettings; `frames`: of the probe, 1 to 3."""
        self._manager = manager
        self._box = box
        self._name = name
        self._settings = settings
        self._description = description
        self._scene_path = scene_path.replace("\\", "/")
        self._frames = frames
        self._sent = 0
        self.step = "Reading files"
        self.share = 0.0

    def run(self, stop):
        """The estimate, as docs/api.md has it. Raises the add-on's errors, Stopped among them."""
        self._box.hash(self._hashed, stop)
        view = self._ask()
        if view["state"] == "unknown":
            self._probe(stop)
            view = self._ask()
        if view["state"] == "unknown":
            raise SceneError("the probe measured nothing: look at the log of the farm's agents")
        return view

    def _ask(self):
        self.step, self.share = "Asking the farm", None
        try:
            return self._manager.estimate(self._settings, self._description, self._box.tree(), self._scene_path)
        except Refused as error:
            if error.status in NOT_THERE:
                raise SceneError(
                    "this Manager is too old to estimate: send the scene, or update BlendNet there"
                ) from error
            raise

    def _probe(self, stop):
        self.step, self.share = "Sending files", 0.0
        upload_missing(self._manager, self._box.uploads(), self._uploaded, stop)
        self.step, self.share = "Rendering a probe", 0.0
        job = self._manager.probe(self._box.submission(self._name, self._settings, self._description), self._frames)
        try:
            while job["state"] not in ENDED:
                self.share = job["samples_done"] / max(1, job["samples_total"])
                stop.wait(POLL_S)
                check(stop)
                job = self._manager.job(job["id"])
        except Stopped:
            self._manager.steer(job["id"], "cancel")
            raise
        if job["state"] != "completed":
            raise SceneError(f"the probe {job['state']}: {job['message'] or 'somebody ended it'}")

    def _hashed(self, done, count):
        self.share = done / count

    def _uploaded(self, count):
        self._sent += count
        self.share = min(1.0, self._sent / max(1, self._box.total_bytes))


class Estimating:
    """A prepared scene that is only asked about; the panel shows its `step` and `share`."""

    def __init__(self, session, prepared, settings, blender, name, frames):
        """As sending.Sending; `frames`: of the probe."""
        self._session = session
        self._turn = session.turn
        self._prepared = prepared
        self._settings = settings
        self._blender = blender
        self._name = name
        self._frames = frames
        self._estimator = None

    @property
    def step(self):
        return self._estimator.step if self._estimator else "Asking the farm"

    @property
    def share(self):
        return self._estimator.share if self._estimator else None

    def run(self, stop):
        """The estimate. The copy of the scene is deleted in any case."""
        prepared = self._prepared
        try:
            self._session.check_turn(self._turn)
            manager, about = self._session.manager(stop), prepared.description
            blender = submitting.choose_blender(self._blender, about["blender"], manager.agents())
            settings = dict(self._settings, blender=blender)
            box = parcel.Parcel(prepared.path, prepared.copy, prepared.needed)
            self._estimator = Estimator(manager, box, self._name, settings, about, prepared.path, self._frames)
            view = self._estimator.run(stop)
            self._session.check_turn(self._turn)
            return view
        finally:
            prepared.clean()


def facts(view):
    """[(what, text)] of an estimate, for a panel."""
    found = [("Time", _with_range(view, "seconds", seconds)), ("Cost", _with_range(view, "usd", dollars))]
    if view["usd"] is None:
        found[1] = ("Cost", "unknown: nobody has said what these agents cost")
    elif view["price_source"]:
        old = view["price_age_s"] or 0.0
        age = "just now" if old < 60.0 else f"{seconds(old)} ago"
        found.append(("Price", f"{dollars(view['usd_per_hour'])} an hour ({view['price_source']}, {age})"))
    found += [
        ("Memory", memory(view["memory_bytes"])),
        ("Agents", str(view["agents"])),
        ("Work", f"{plural(view['frames'], 'frame')} of {plural(view['samples'], 'sample')}"),
        ("Measured by", "a probe" if view["measured_by"] == "probe" else f"job {view['measured_job']}"),
    ]
    return [(what, text) for what, text in found if text]


def sentence(view):
    """An estimate in one sentence, for a question."""
    cost = "at a cost that nobody knows" if view["usd"] is None else f"for about {dollars(view['usd'])}"
    return f"it will take about {seconds(view['seconds'])} {cost}"


def _with_range(view, name, text):
    if view[name] is None:
        return ""
    low, high = view[name + "_range"]
    return f"{text(view[name])} ({text(low)} to {text(high)})"
