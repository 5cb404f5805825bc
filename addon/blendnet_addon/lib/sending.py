"""A scene that was prepared on its way to the farm: looked at by the Manager, then sent."""

from . import before_sending, parcel, submitting


class Sending:
    """One scene on its way; the panel shows its `step` and `share`."""

    def __init__(self, session, prepared, settings, blender, name, ask):
        """`prepared`: scene_copy.Prepared; `settings`: messages.JobSettings without Blender; `ask`: about new notes."""
        self.session = session
        self._prepared = prepared
        self._settings = settings
        self._blender = blender
        self._name = name
        self._ask = ask
        self._shipment = None
        self.notes = None
        """What the artist should know first; None: nobody has looked yet."""

    @property
    def step(self):
        return self._shipment.step if self._shipment else "Asking the farm"

    @property
    def share(self):
        return self._shipment.share if self._shipment else None

    def clean(self):
        """Delete the copy: it is sent, or will not be."""
        self._prepared.clean()

    def run(self, stop):
        """Send; the job. None: there are new notes for the artist, and `run` is to be called again."""
        try:
            manager = self.session.manager()
            if self.notes is None:
                self._look(manager)
                if self._ask and self.session.is_new(self.notes):
                    return None
            job = self._send(manager, stop)
        except BaseException:
            self.clean()
            raise
        self.clean()
        return job

    def _look(self, manager):
        """Choose the Blender and gather the notes."""
        description, agents = self._prepared.description, manager.agents()
        blender = submitting.choose_blender(self._blender, description["blender"], agents)
        self._settings = dict(self._settings, blender=blender)
        prepared = self._prepared
        asked = before_sending.notes(manager, self._settings, description, agents, prepared.path.replace("\\", "/"))
        self.notes = prepared.warnings + asked

    def _send(self, manager, stop):
        prepared = self._prepared
        box = parcel.Parcel(prepared.path, prepared.copy, prepared.needed)
        about = prepared.description
        self._shipment = submitting.Shipment(
            manager, self.session.notes, box, self._name, self._settings, about, prepared.path
        )
        return self._shipment.send(stop)
