"""The Manager this computer is set up for: kept in files for this user alone, never in .blend files or preferences."""

import os

from . import files
from .connection import Login
from .errors import NotConnected

HERE, KNOWN = "here", "known"
"""Kinds of Manager: a farm of this computer, or one with an address."""


class KeptLogin:
    """The folder with manager.json and the password."""

    def __init__(self, folder):
        self._about = os.path.join(folder, "manager.json")
        self._password = os.path.join(folder, "manager.password")

    def keep_known(self, login):
        """Remember a Manager by its address. Raises DiskError."""
        files.write_private(self._password, login.password)
        files.write_json(self._about, {"kind": KNOWN, "url": login.url, "ca": login.ca_pem, "user": login.user})

    def keep_here(self, data, command):
        """Remember that the farm is the one in folder `data`, and which command runs it. Raises DiskError."""
        files.remove(self._password)
        files.write_json(self._about, {"kind": HERE, "data": data, "command": command})

    def forget(self):
        for path in (self._about, self._password):
            files.remove(path)

    def about(self):
        """{'kind': ...} of what is kept; None when nothing is set up."""
        about = files.read_json(self._about)
        return about if isinstance(about, dict) and about.get("kind") in (HERE, KNOWN) else None

    def login(self):
        """The Login. Raises NotConnected when nothing is set up, or the farm of this computer is down."""
        about = self.about()
        if about is None:
            raise NotConnected("BlendNet is not set up: choose This computer, or a Manager you know")
        if about["kind"] == HERE:
            return login_here(about["data"])
        return Login(about["url"], about["ca"], about["user"], _read(self._password))


def login_here(data):
    """The Login of the farm that runs on the folder `data`, from its farm.json. Raises NotConnected."""
    farm = files.read_json(os.path.join(data, "farm.json"))
    if not isinstance(farm, dict):
        raise NotConnected("the farm of this computer is down: start it")
    try:
        return Login(farm["url"], _read(farm["ca"]), farm["user"], _read(farm["password_file"]).strip())
    except KeyError as error:
        raise NotConnected(f"{data} holds a farm of another version (no {error}): start it anew") from error


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise NotConnected(f"cannot read {path} ({error.strerror}): set BlendNet up again") from error
