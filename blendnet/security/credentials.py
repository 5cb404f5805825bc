"""Logins of the Manager: generated passwords for clients, argon2 hashes for itself."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from blendnet.errors import FarmError
from blendnet.security.private_files import write_private

OWNER = "owner"
AGENT = "agent"
PASSWORD_BYTES = 24
PASSWORD_FILES = {OWNER: "password", AGENT: "agent-password"}
"""User that every farm has (its role has the same name) -> file with its password, beside the hashes."""

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's second argon2id profile: 19 MiB, so that a burst of logins costs little memory."""


@dataclass(frozen=True)
class Login:
    """What is kept of a user."""

    role: str
    hash: str
    """argon2id, encoded with its parameters."""


class Users:
    """The logins of a farm. Safe to use from threads."""

    def __init__(self, logins: dict[str, Login]) -> None:
        self._logins = dict(logins)
        self._nobody = _HASHER.hash(secrets.token_urlsafe(PASSWORD_BYTES))
        self._key = secrets.token_bytes(32)
        self._verified: dict[str, bytes] = {}
        self._slow = threading.Lock()

    def known_role(self, user: str, password: str) -> str | None:
        """Role behind a login that `check` has let in before; None says nothing yet. Takes microseconds."""
        verified = self._verified.get(user, b"")
        return self._logins[user].role if hmac.compare_digest(verified, self._fingerprint(user, password)) else None

    def check(self, user: str, password: str) -> str | None:
        """Role behind a login, None when it is wrong. A first or wrong login takes tens of milliseconds on purpose."""
        if role := self.known_role(user, password):
            return role
        login = self._logins.get(user)
        with self._slow:  # One at a time: guessing must not take all cores.
            right = _matches(login.hash if login else self._nobody, password)
        if login is None or not right:
            return None
        self._verified[user] = self._fingerprint(user, password)
        return login.role

    def _fingerprint(self, user: str, password: str) -> bytes:
        """Keyed with a value of this process, so that what stays in memory is useless elsewhere."""
        return hmac.digest(self._key, f"{user}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256)


def ensure_credentials(folder: Path, *, owner_hash: str = "") -> Users:
    """Users of the farm in `folder`, made at first start.

    Hashes are in `users.json`, passwords in PASSWORD_FILES, all 0600.
    A login whose password file is gone gets a new password. With `owner_hash` (argon2id) that is the owner's login, and
    no file here holds the password. Raises FarmError when users.json or that hash is damaged.
    """
    logins = before = _read(folder / "users.json")
    files = dict(PASSWORD_FILES)
    if owner_hash:
        logins = {**logins, OWNER: Login(OWNER, _checked_hash(owner_hash))}
        (folder / files.pop(OWNER)).unlink(missing_ok=True)
    missing = [user for user, name in files.items() if user not in logins or not (folder / name).is_file()]
    passwords = {user: make_password() for user in missing}
    logins = logins | {user: Login(user, _HASHER.hash(password)) for user, password in passwords.items()}
    if logins != before:  # Hashes first: dying in between leaves a password file missing, which the next start mends.
        data = json.dumps({user: asdict(login) for user, login in logins.items()}, indent=2)
        write_private(folder / "users.json", data.encode())
    for user, password in passwords.items():
        write_private(folder / PASSWORD_FILES[user], password.encode() + b"\n")
    return Users(logins)


def make_password() -> str:
    """A new password that nobody guesses."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def hash_password(password: str) -> str:
    """The argon2id hash of a password, encoded with its parameters: what a Manager elsewhere is given of it."""
    return _HASHER.hash(password)


def read_password(path: Path) -> str:
    """The password in a file, without the line end. Raises FarmError when it cannot be read."""
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise FarmError(f"cannot read the password file {path}: {error.strerror}") from error


def _checked_hash(encoded: str) -> str:
    """Raises FarmError, which does not repeat it."""
    try:
        if extract_parameters(encoded).type is Type.ID:
            return encoded
    except (InvalidHashError, ValueError):
        pass
    raise FarmError("BLENDNET_OWNER_HASH is no argon2id hash: `blendnet cloud up` makes one")


def _matches(encoded: str, password: str) -> bool:
    try:
        return _HASHER.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


def _read(path: Path) -> dict[str, Login]:
    try:
        return {user: Login(**login) for user, login in json.loads(path.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise FarmError(f"{path} is damaged: delete it and the password files beside it to get new logins") from error
