"""A farm in a cloud, by `blendnet cloud`: asked, made, started, stopped, removed. Its data folder holds its login."""

import os

from . import command, files
from .connection import Login
from .errors import NotConnected, SetUpError, Stopped
from .farm_here import default_data

CHECK_LIMIT_S = 180.0
TYPES_LIMIT_S = 300.0
UP_LIMIT_S = 2700.0
"""Longer than `cloud up` itself waits for a Manager (30 min)."""
END_LIMIT_S = 1800.0
LOOK_LIMIT_S = 180.0
OWNER = "owner"


def folder(wanted):
    """The data folder of the farm in a cloud: the one named, the command's own when that is one, else one beside it."""
    if wanted:
        return os.path.abspath(os.path.expanduser(wanted))
    own = default_data()
    return own if note(own) is not None else os.path.join(os.path.dirname(own), "cloud")


def note(data):
    """What `blendnet cloud` has noted of the farm on a data folder: provider, region, url, ...; None: there is none."""
    noted = files.read_json(os.path.join(data, "cloud", "manager.json"))
    return noted if isinstance(noted, dict) and noted.get("provider") else None


def login(data):
    """The Login of the farm in a cloud, as the command keeps it. Raises NotConnected."""
    noted = note(data)
    if noted is None:
        raise NotConnected("this farm is in no cloud any more: make it again, or use another Manager")
    if not noted.get("url"):
        raise NotConnected(f"the Manager in {noted['provider']} has not said yet where it is: press Go On")
    place = os.path.join(data, "cloud")
    return Login(noted["url"], _read(place, "ca.crt"), OWNER, _read(place, "password").strip())


def _read(place, name):
    path = os.path.join(place, name)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise NotConnected(f"cannot read {path} ({error.strerror}): make the farm in the cloud again") from error


class Farm:
    """The farm of one data folder. All calls take long: they are for workers. Raise SetUpError, Stopped."""

    def __init__(self, program, data):
        self.program = program
        self.data = data

    def check(self, place, stop):
        """[{'name', 'state', 'message', 'help'}] of everything between this computer and a cloud."""
        answer = self._ask(["doctor"] + place.arguments(), stop, limit_s=CHECK_LIMIT_S, accept=(0, 1))
        return answer["checks"]

    def types(self, place, stop):
        """Machine types with their prices, as `blendnet cloud types --json` lists them."""
        return self._ask(["types"] + place.arguments(), stop, limit_s=TYPES_LIMIT_S)["types"]

    def up(self, arguments, settings, stop, said):
        """Make the Manager, or start the one there is; what `blendnet cloud up --json` says."""
        return self._ask(["up", "--yes"] + arguments, stop, said, UP_LIMIT_S, settings)

    def start(self, stop, said):
        """Start the Manager again."""
        return self._ask(["start"], stop, said, UP_LIMIT_S)

    def stop(self, stop, said):
        """End the agents and stop the Manager."""
        return self._ask(["stop", "--yes"], stop, said, END_LIMIT_S)

    def destroy(self, keep_data, stop, said):
        """Remove everything, or machines alone; names of what is there afterwards."""
        how = ["--keep-data"] if keep_data else []
        return self._ask(["destroy", "--yes"] + how, stop, said, END_LIMIT_S)["there"]

    def status(self, stop):
        """What there is, what it costs, whether it answers."""
        return self._ask(["status"], stop, limit_s=LOOK_LIMIT_S)

    def logs(self, stop):
        """{'console', 'manager', 'troubles'}"""
        return self._ask(["logs"], stop, limit_s=LOOK_LIMIT_S)

    def remains(self, stop):
        """Names of everything of the farm that is in the cloud."""
        return self._ask(["remains"], stop, limit_s=LOOK_LIMIT_S)["there"]

    def _ask(self, arguments, stop, said=None, limit_s=command.LIMIT_S, settings=None, accept=(0,)):
        known = dict(settings or {}, BLENDNET_DATA=self.data)
        return command.ask(self.program, ["cloud"] + arguments + ["--json"], stop, said, limit_s, known, accept)


class Making:
    """A Manager on its way into being; the panel shows `step`."""

    def __init__(self, farm, place, step, fresh=True):
        """`fresh`: the farm has not answered yet, so that a failure leaves something begun."""
        self._farm = farm
        self._fresh = fresh
        self._place = place
        self.step = step
        self.share = None
        self.begun = None
        """After a failure of a fresh one: names of what is in the cloud already; None: nobody knows."""

    def up(self, arguments, settings, stop):
        """What `cloud up` says. Raises SetUpError, Stopped; then `begun` is known."""
        try:
            return self._farm.up(arguments, settings, stop, self.hear)
        except (SetUpError, Stopped):
            if not self._fresh:
                raise
            self.step = "Looking at what was begun"
            if note(self._farm.data) is not None:
                self.begun = self._begun()
            else:
                self.begun = []
            raise

    def hear(self, line):
        """A line of the command for people."""
        text = line.rstrip(" .")
        # A machine's id stays as it is.
        self.step = text[:1].upper() + text[1:] if text.split(" ")[0].isalpha() else text

    def _begun(self):
        try:
            return self._farm.remains(None)
        except SetUpError:
            return None
