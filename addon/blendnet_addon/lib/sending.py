"""A scene that was prepared on its way to the farm: looked at by the Manager, then sent."""

from . import before_sending, estimating, parcel, submitting
from .errors import SceneError


class Sending:
    """One scene on its way; the panel shows its `step` and `share`."""

    def __init__(self, session, prepared, settings, blender, name, ask, tell=False):
        """`prepared`: scene_copy.Prepared; `settings`: messages.JobSettings without Blender; `ask`: about new notes;
        `tell`: ask also whether what the job takes is fine.
        """
        self.session = session
        self._turn = session.turn
        self._prepared = prepared
        self._settings = settings
        self._blender = blender
        self._name = name
        self._ask = ask
        self._tell = tell
        self._box = None
        self._estimator = None
        self._shipment = None
        self.notes = None
        """What the artist should know first; None: nobody has looked yet."""

    @property
    def step(self):
        under_way = self._shipment or self._estimator
        return under_way.step if under_way else "Asking the farm"

    @property
    def share(self):
        under_way = self._shipment or self._estimator
        return under_way.share if under_way else None

    @property
    def outdated(self):
        """Whether another Manager is used by now."""
        return self._turn != self.session.turn

    def clean(self):
        """Delete the copy: it is sent, or will not be."""
        self._prepared.clean()

    def run(self, stop):
        """Send; the job. None: there are new notes for the artist, and `run` is to be called again."""
        try:
            self.session.check_turn(self._turn)
            manager = self.session.manager(stop)
            if self._box is None:
                prepared = self._prepared
                self._box = parcel.Parcel(prepared.path, prepared.copy, prepared.needed)
            if self.notes is None:
                self._look(manager, stop)
                if self._ask and self.session.is_new(self.notes):
                    return None
            job = self._send(manager, stop)
        except BaseException:
            self.clean()
            raise
        self.clean()
        return job

    def _look(self, manager, stop):
        """Choose the Blender and gather the notes."""
        description, agents = self._prepared.description, manager.agents()
        blender = submitting.choose_blender(self._blender, description["blender"], agents)
        self._settings = dict(self._settings, blender=blender)
        prepared = self._prepared
        asked = before_sending.notes(manager, self._settings, description, agents, prepared.path.replace("\\", "/"))
        found = prepared.warnings + asked
        if self._tell:
            self._estimator = estimating.Estimator(
                manager, self._box, self._name, self._settings, description, prepared.path
            )
            try:
                view = self._estimator.run(stop)
            except SceneError as error:
                found.append(str(error))  # Whether to send a scene that nobody can estimate is the artist's choice.
            else:
                found += [text for text in view["warnings"] if text not in found] + [estimating.sentence(view)]
        self.notes = found

    def _send(self, manager, stop):
        prepared = self._prepared
        about = prepared.description
        self._shipment = submitting.Shipment(
            manager,
            self.session.notes,
            self._box,
            self._name,
            self._settings,
            about,
            prepared.path,
            prepared.merged,
            prepared.homes,
        )
        return self._shipment.send(stop)
