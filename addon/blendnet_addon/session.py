"""What the add-on knows while Blender runs: the Manager, its jobs, what is under way, what went wrong. No bpy here."""

import os

from .lib import estimating
from .lib.cloud_view import CloudView
from .lib.connection import Http
from .lib.errors import AddonError, NotConnected, Stopped
from .lib.fetching import Unpaid
from .lib.kept_login import KeptLogin
from .lib.manager import Manager
from .lib.notes import Notes
from .lib.work import Outbox, Worker

ENDED = ("completed", "failed", "canceled")
IN_USE = ("starting", "idle", "busy", "draining", "aside")
"""States of agents that are there; others are listed for a while after their end."""
EVENTS_KEPT = 200
LISTED = 8
"""Jobs that the list shows at first; each word for older ones shows so many more."""


class Session:
    """One per enabled add-on. The main thread alone changes what is shown; workers hand over through the outbox."""

    def __init__(self, folder, online, ring=None):
        """`folder`: where logins and notes are kept; `online`: whether Blender may use the internet; `ring`: the
        system's keyring (lib/keyring), None: passwords are in the folder, too."""
        self.folder = folder
        self.online = online
        self.kept = KeptLogin(folder, ring)
        self.about = self.kept.about()
        """What is set up: see kept_login; None: nothing."""
        self.notes = Notes(os.path.join(folder, "jobs"))
        self.outbox = Outbox()
        self.calls = Worker("calls", self.outbox)
        """Short questions to the Manager."""
        self.transfers = Worker("transfers", self.outbox)
        """Uploads and downloads."""
        self.pictures = Worker("pictures", self.outbox)
        """What the artist looks at: no upload may hold it up."""
        self.set_up = Worker("set-up", self.outbox)
        """Farms started, programs installed."""
        self.jobs = []
        self.agents = []
        self.ended = []
        """Jobs that have ended between the last two looks."""
        self.cost_usd = None
        self.frames = []
        """Of the selected job."""
        self.events = []
        """Of the selected job: the last lines of its log."""
        self.selected = ""
        self.folded = set()
        """Keys of scenes whose jobs the list hides."""
        self.listed = LISTED
        self.last_job = ""
        """The job that was sent last."""
        self.problem = None
        """The error of the last try to reach the Manager; None: it answers."""
        self.message = ""
        self.message_is_error = False
        self.error_code = ""
        self.error_of = ""
        """What went wrong, as `begin` calls it; '': something that had not begun yet."""
        self.tried = None
        """(address, user) that the artist typed last."""
        self.under_way = []
        """Tasks that people see, with `step` and `share` where they have them."""
        self.pending = None
        """A Login whose fingerprint waits for the artist's word."""
        self.question = None
        """A scene on its way that waits for the artist's word on its `notes`; it has `clean`."""
        self.estimate = None
        """What the last scene that was asked about will take: 'name' and 'view' (docs/api.md); None: nothing."""
        self._accepted = set()
        """Notes that the artist has seen and taken."""
        self.newer = {}
        """Job -> files that were not replaced because something newer is there."""
        self.fetched_for = {}
        self.unpaid = Unpaid()
        self.report = None
        """What was checked when a scene was sent last: properties.CheckReport."""
        self.cloud = CloudView()
        """What was seen of a cloud."""
        self.version = 0
        """Grows whenever what is shown changes."""
        self.turn = 0
        """Grows whenever another Manager is used: what was asked of the last one says nothing of this one."""
        self.left = [self.unpaid.clear]
        """Called with no arguments when another Manager is used."""
        self._http = None
        self._http_of = None

    def end(self):
        """Stop everything and wait for the threads."""
        self.drop_question()
        workers = (self.calls, self.transfers, self.pictures, self.set_up)
        for worker in workers:
            worker.stop()
        if self._http is not None:
            self._http.abort()
        for worker in workers:
            worker.end()

    def set_up_changed(self):
        """The login that is kept is another one now. On the main thread."""
        before, self.about = self.about, self.kept.about()
        self.drop_question()
        self.jobs, self.agents, self.problem, self.pending, self.estimate = [], [], None, None, None
        self.cost_usd, self.listed = None, LISTED
        self.select("")
        if _which(before) != _which(self.about):
            self.turn += 1
            self.cloud.begun = self.cloud.status = None
            for call in self.left:
                call()

    def check_turn(self, turn):
        """Raises AddonError: another Manager is used than at that turn."""
        if turn != self.turn:
            raise AddonError("another Manager is in use by now: do it again there")

    def is_new(self, notes):
        """Whether the artist has not taken all of these notes yet."""
        return not self._accepted.issuperset(notes)

    def ask(self, sending):
        """Ask the artist whether a scene is to be sent, in spite of its `notes`."""
        self.drop_question()
        self.question = sending
        self.version += 1

    def answer(self):
        """The artist takes the notes; what waited for that."""
        sending, self.question = self.question, None
        self._accepted.update(sending.notes)
        self.version += 1
        return sending

    def drop_question(self):
        """What waits is not sent."""
        sending, self.question = self.question, None
        if sending is not None:
            sending.clean()
            self.version += 1

    def show_estimate(self, name, view):
        """Show what a scene will take."""
        self.estimate = {"name": name, "view": view}
        self.say(f"{name}: {estimating.sentence(view)}.")

    def drop_estimate(self):
        self.estimate = None
        self.version += 1

    def manager(self, stop=None):
        """The Manager, by the login that is kept. For worker threads too. Raises NotConnected, Offline.

        `stop`: as lib.manager.Manager.
        """
        login = self.kept.login()
        of = (login.url, login.ca_pem, login.user, login.password, self.online)
        if of != self._http_of:
            before, self._http, self._http_of = self._http, Http(login, self.online), of
            if before is not None:
                before.close()
        return Manager(self._http, stop)

    def job(self, job_id):
        """A job that was seen; None when there is no such."""
        return next((job for job in self.jobs if job["id"] == job_id), None)

    def newest_first(self):
        return sorted(self.jobs, key=lambda job: -job["created_at"])

    def say(self, text):
        self.message, self.message_is_error, self.error_code = text, False, ""
        self.version += 1

    def say_error(self, error, of=""):
        """Show an error; one that is no AddonError is a fault of ours and shown with its kind. `of`: what it ended."""
        if isinstance(error, Stopped):
            return self.say("Stopped.")
        known = isinstance(error, AddonError)
        self.message = str(error) if known else f"{type(error).__name__}: {error}"
        self.message_is_error = True
        self.error_code, self.error_of = error.code if known else "error", of
        self.version += 1
        return None

    def begin(self, worker, what, function, heard=None, visible=None):
        """Let a worker do something; `heard(result)` follows on the main thread when it went well.

        `visible`: an object with `step` and `share` that the panel shows meanwhile.
        """

        def finished(task):
            if visible is not None:
                self.under_way.remove((task, visible))
            if task.error is not None:
                self.say_error(task.error, what)
            elif heard is not None:
                heard(task.result)
            self.version += 1

        task = worker.do(what, function, finished)
        if visible is not None:
            self.under_way.append((task, visible))
            self.version += 1
        return task

    def stop(self, number=0):
        """Stop what is under way: the task of that number, 0: all that people see."""
        for task, visible in self.under_way:
            if number in (0, task.number) and can_stop(visible):
                task.end()
        self.version += 1

    def look(self, stop):
        """Ask the Manager how everything is; what `take` takes. For a worker."""
        selected, turn = self.selected, self.turn
        try:
            manager = self.manager()
            farm = manager.farm()
            known = any(job["id"] == selected for job in farm["jobs"])
            frames = manager.frames(selected) if known else []
            after = self.events[-1]["id"] if self.events and self.events[-1].get("job") == selected else 0
            events = manager.events(selected, after) if known else []
        except AddonError as error:
            return Look(error=error, turn=turn)
        return Look(farm=farm, selected=selected, frames=frames, events=events, turn=turn)

    def take(self, look):
        """Show what was seen, unless it was seen of another Manager than is used now. On the main thread."""
        self.version += 1
        self.ended = []
        if look.turn != self.turn:
            return
        self.problem = look.error
        if look.error is not None:
            if isinstance(look.error, NotConnected):
                self.jobs, self.agents = [], []
            return
        before = {job["id"]: job["state"] for job in self.jobs}
        self.jobs, self.agents = look.farm["jobs"], look.farm["agents"]
        self.ended = [
            job for job in self.jobs if job["state"] in ENDED and before.get(job["id"], "failed") not in ENDED
        ]
        self.cost_usd = look.farm.get("cost_usd")
        if look.selected == self.selected:
            self.frames = look.frames
            kept = self.events if self.events and self.events[-1].get("job") == self.selected else []
            self.events = (kept + look.events)[-EVENTS_KEPT:]

    def fold(self, key):
        """Hide the jobs of a scene in the list, or show them again."""
        self.folded ^= {key}
        self.version += 1

    def list_more(self):
        """Show older jobs in the list as well."""
        self.listed += LISTED
        self.version += 1

    def select(self, job_id):
        self.selected, self.frames, self.events = job_id, [], []
        self.version += 1


class Look:
    """One look at the Manager of a turn."""

    def __init__(self, farm=None, selected="", frames=(), events=(), error=None, turn=0):
        self.farm = farm
        self.selected = selected
        self.frames = list(frames)
        self.events = list(events)
        self.error = error
        self.turn = turn


def _which(about):
    """What tells Managers apart in what is kept of them."""
    return None if about is None else [about.get(name) for name in ("kind", "url", "user", "data")]


def can_stop(visible):
    """Whether a button may end what is under way; most things do not say that they cannot be ended."""
    return getattr(visible, "can_stop", True)


class Visible:
    """A step in words and how much of it is done, for the panel; None: nobody knows."""

    def __init__(self, step, can_stop=True):
        self.step = step
        self.share = None
        self.can_stop = can_stop
        """False: what was begun comes to its end whoever waits for it."""
