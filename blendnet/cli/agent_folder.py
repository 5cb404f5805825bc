"""The folder of an agent on a machine of its own: who it is, what it trusts, what it works in."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from blendnet.client import Connection
from blendnet.client.join import host_of
from blendnet.errors import Conflict, FarmError
from blendnet.messages import Joined
from blendnet.security.agents import make_key
from blendnet.security.private_files import write_private
from blendnet.settings import Settings, without_cloud_keys

LOCK_FILE = "lock"
MEMBER_FILE = "member.json"
INHERITED_NO_MORE = ("MANAGER_USER", "MANAGER_PASSWORD_FILE", "LOCAL_STORE_DIR", "LISTEN")
"""Settings of a Manager or of another kind of agent: not for this one's worker."""


@dataclass(frozen=True)
class Member:
    """The farm that an agent has joined."""

    name: str
    url: str
    broker_port: int

    @property
    def broker_url(self) -> str:
        """Redis is where the Manager is; neither user nor password is in the URL."""
        host = host_of(self.url)
        return f"rediss://{f'[{host}]' if ':' in host else host}:{self.broker_port}/0"


class AgentFolder:
    """Files of one agent. The identity is in files that nobody else may read."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.key = self.root / "agent.key"
        self.certificate = self.root / "agent.crt"
        self.ca = self.root / "ca.crt"
        self.broker_password = self.root / "broker-password"
        self._member = self.root / MEMBER_FILE

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Be the one agent of this folder, which is made if it is missing.

        Raises:
            Conflict: an agent runs in it.
            FarmError: it cannot be written to.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FarmError(
                f"cannot work in {self.root}: {error.strerror}. Choose another folder with --dir"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise Conflict(f"an agent runs in {self.root} already: give this one another folder with --dir") from error
        finally:
            os.close(descriptor)

    def member(self) -> Member | None:
        """The farm that the agent of this folder belongs to; None when it has not joined any."""
        try:
            return Member(**json.loads(self._member.read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def new_key(self) -> bytes:
        """A private key of this machine, in the place of an earlier one: what had joined with that is no agent now."""
        self._member.unlink(missing_ok=True)
        key = make_key()
        write_private(self.key, key)
        return key

    def write_joined(self, joined: Joined, url: str) -> Member:
        """Keep what the Manager has told; the last file is what makes it complete."""
        write_private(self.broker_password, joined.broker_password.encode() + b"\n")
        write_private(self.certificate, joined.certificate.encode())
        return self.write_member(Member(joined.name, url, joined.broker_port))

    def write_member(self, member: Member) -> Member:
        """Keep where the farm is."""
        write_private(self._member, json.dumps(asdict(member)).encode())
        return member

    def connection(self, url: str, settings: Settings) -> Connection:
        """To the Manager, as the agent."""
        timeouts = settings.connect_timeout_s, settings.read_timeout_s
        return Connection(url, self.ca, "", None, *timeouts, certificate=self.certificate, key=self.key)

    def environment(self, member: Member) -> dict[str, str]:
        """Environment of the worker: names of files with its own secrets, and nobody's cloud keys."""
        values = {
            "DATA": self.root,
            "AGENT_NAME": member.name,
            "AGENT_DIR": self.root / "work",
            "BLOB_CACHE_DIR": os.environ.get("BLENDNET_BLOB_CACHE_DIR") or self.root / "cache",
            "MANAGER_URL": member.url,
            "MANAGER_CA": self.ca,
            "MANAGER_CERTIFICATE": self.certificate,
            "MANAGER_KEY": self.key,
            "BROKER_URL": member.broker_url,
            "BROKER_USER": member.name,
            "BROKER_PASSWORD_FILE": self.broker_password,
        }
        others = {f"BLENDNET_{name}" for name in INHERITED_NO_MORE}
        inherited = {name: value for name, value in without_cloud_keys(os.environ).items() if name not in others}
        return inherited | {f"BLENDNET_{name}": str(value) for name, value in values.items()}
