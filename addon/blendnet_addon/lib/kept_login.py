"""The Manager this computer is set up for: never in .blend files or preferences.

The password of a Manager with an address is in the system's keyring when there is one, else in a file for this user
alone. Farms of this computer, and those in a cloud, have files of their own.
"""

import os
import threading
import time

from . import cloud, files, keyring
from .connection import Login
from .errors import KeyringError, NotConnected

HERE, KNOWN, CLOUD = "here", "known", "cloud"
"""Kinds of Manager: a farm of this computer, one with an address, one that was made in a cloud from here."""
RETRY_S = 60.0
"""A keyring that refuses is not asked again sooner: it may ask the artist each time."""


class KeptLogin:
    """The folder with manager.json, and where the password is. Safe to use from threads."""

    def __init__(self, folder, ring=None):
        """`ring`: the system's keyring (lib/keyring); None: files alone."""
        self._about = os.path.join(folder, "manager.json")
        self._password = os.path.join(folder, "manager.password")
        self._ring = ring
        self._lock = threading.Lock()
        self._known = None
        """(account, password) that the keyring has given."""
        self._refused = (0.0, None)
        """When it is asked again, and why not sooner."""
        self.note = ""
        """Why the password that was kept last is in a file although there is a keyring; '': it is where it should."""

    def keep_known(self, login):
        """Remember a Manager by its address. For a worker. Raises DiskError."""
        self._forget_secret()
        in_keyring = self._store(login)
        if in_keyring:
            files.remove(self._password)
        else:
            files.write_private(self._password, login.password)
        about = {"kind": KNOWN, "url": login.url, "ca": login.ca_pem, "user": login.user, "keyring": in_keyring}
        files.write_json(self._about, about)

    def keep_here(self, data, command):
        """Remember that the farm is the one in folder `data`, and which command runs it. For a worker. DiskError."""
        self._keep({"kind": HERE, "data": data, "command": command})

    def keep_cloud(self, data, command, facts):
        """Remember that the farm is in a cloud, by `blendnet cloud` with folder `data`. For a worker. DiskError.

        `facts`: provider, region, usd_per_hour, usd_per_hour_stopped, cap_job_usd.
        """
        self._keep(dict(facts, kind=CLOUD, data=data, command=command))

    def _keep(self, about):
        self._forget_secret()
        files.remove(self._password)
        files.write_json(self._about, about)

    def forget(self):
        """Forget it; returns a function that does the rest, which takes long, with `rest(stop)` in a worker."""
        about = self.about()
        for path in (self._about, self._password):
            files.remove(path)
        return lambda stop: self._delete(about)

    def about(self):
        """{'kind': ...} of what is kept; None when nothing is set up."""
        about = files.read_json(self._about)
        return about if isinstance(about, dict) and about.get("kind") in (HERE, KNOWN, CLOUD) else None

    def login(self):
        """The Login. Raises NotConnected when nothing is set up, the farm of this computer is down, or the keyring
        does not give the password."""
        about = self.about()
        if about is None:
            raise NotConnected("BlendNet is not set up: choose This computer, a cloud, or a Manager you know")
        if about["kind"] == HERE:
            return login_here(about["data"])
        if about["kind"] == CLOUD:
            return cloud.login(about["data"])
        password = self._load(about) if about.get("keyring") else _read(self._password)
        return Login(about["url"], about["ca"], about["user"], password)

    def _store(self, login):
        """Whether the keyring has the password now."""
        self.note = ""
        if self._ring is None:
            return False
        account = keyring.account_of(login.user, login.url)
        try:
            self._ring.store(account, login.password)
        except KeyringError as error:
            self.note = f"The password is in a file that only you can read, because {error}."
            return False
        with self._lock:
            self._known, self._refused = (account, login.password), (0.0, None)
        return True

    def _load(self, about):
        account = keyring.account_of(about["user"], about["url"])
        with self._lock:
            if self._known is not None and self._known[0] == account:
                return self._known[1]
            if self._ring is None:
                raise NotConnected("the password is in a keyring that is not there now: connect again")
            again_at, error = self._refused
            if error is None or time.monotonic() >= again_at:
                try:
                    self._known = (account, self._ring.load(account))
                    return self._known[1]
                except KeyringError as found:
                    error = found
                    self._refused = (time.monotonic() + RETRY_S, error)
            raise NotConnected(f"{error}: unlock it, or connect again")

    def _forget_secret(self):
        self._delete(self.about())

    def _delete(self, about):
        """Take the password of what was kept out of the keyring, if it is there."""
        with self._lock:
            self._known = None
        if about is not None and about.get("keyring") and self._ring is not None:
            try:
                self._ring.delete(keyring.account_of(about["user"], about["url"]))
            except KeyringError as error:
                self.note = f"The password is still kept: {error}."


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
