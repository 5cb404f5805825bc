"""Metadata services of clouds on this machine: strict IMDSv2, Google's hanging requests, Azure's Scheduled Events.

They say what a test tells them to, and misbehave when told.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROLES = "/latest/meta-data/iam/security-credentials"


@dataclass
class Fake:
    """What the service says now. Changing `preempted` and `maintenance` wakes requests that wait for it."""

    action: dict[str, str] | None = None
    """AWS: spot/instance-action."""
    rebalance: dict[str, str] | None = None
    """AWS: events/recommendations/rebalance."""
    token_life_s: float | None = None
    """AWS: tokens end after so long, whatever was asked for."""
    machine: str = "vm-1"
    """Azure: name of this machine."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Azure: Scheduled Events."""
    role: dict[str, str] = field(default_factory=dict)
    """AWS: keys of the machine's role."""
    address: str = ""
    """AWS, Google: the machine's public address; '': it has none."""
    status: int | None = None
    """Every answer has this status, if one is set."""
    body: str | None = None
    """Every answer with status 200 has this text, if one is set."""
    delay_s: float = 0.0
    """Every answer waits so long."""
    drip_s: float = 0.0
    """Every byte of an answer waits so long."""
    clock_ahead_s: float = 0.0
    """The Date of its answers is so far ahead of this machine's clock."""
    requests: list[str] = field(default_factory=list)
    """Method and path of every request."""
    tokens: dict[str, float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closing: bool = False
    url: str = ""
    _preempted: str = "FALSE"
    _maintenance: str = "NONE"

    def now(self) -> datetime:
        """Its own clock."""
        return datetime.now(UTC) + timedelta(seconds=self.clock_ahead_s)

    def spot_action(self, left_s: float, action: str = "terminate") -> None:
        """AWS takes the machine back."""
        self.action = {"action": action, "time": f"{self.now() + timedelta(seconds=left_s):%Y-%m-%dT%H:%M:%SZ}"}

    def azure_event(self, kind: str, left_s: float, machine: str = "vm-1", status: str = "Scheduled") -> None:
        """Azure announces something."""
        not_before = format_datetime(self.now() + timedelta(seconds=left_s), usegmt=True)
        event = {"EventId": secrets.token_hex(8), "EventStatus": status, "EventType": kind, "Resources": [machine]}
        self.events.append(
            event | {"ResourceType": "VirtualMachine", "NotBefore": not_before if status == "Scheduled" else ""}
        )

    def gcp(self, key: str) -> str:
        """A value of instance/."""
        known = {"preempted": self._preempted, "maintenance-event": self._maintenance, "external-ip": self.address}
        return known[key]

    def gcp_preempt(self) -> None:
        """Google takes the machine back."""
        with self.changed:
            self._preempted = "TRUE"
            self.changed.notify_all()

    def gcp_maintain(self, event: str) -> None:
        """Google announces maintenance."""
        with self.changed:
            self._maintenance = event
            self.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    fake: Fake

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.fake.now(), usegmt=True)

    def do_PUT(self) -> None:
        self.fake.requests.append(f"PUT {self.path}")
        asked = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token" or not asked.isdecimal() or not 1 <= int(asked) <= 21_600:
            return self._say(400, "")
        token = secrets.token_urlsafe()
        self.fake.tokens[token] = time.monotonic() + (self.fake.token_life_s or int(asked))
        return self._say(200, token)

    def do_GET(self) -> None:
        self.fake.requests.append(f"GET {self.path}")
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path.startswith("/latest/"):
            return self._aws(parts.path)
        if parts.path.startswith("/computeMetadata/v1/instance/"):
            return self._gcp(parts.path.rpartition("/")[2], query)
        if parts.path.startswith("/metadata/"):
            return self._azure(parts.path, query)
        return self._say(404, "")

    def _aws(self, path: str) -> None:
        if self.fake.tokens.get(self.headers.get("X-aws-ec2-metadata-token", ""), 0.0) < time.monotonic():
            return self._say(401, "")
        if path == "/latest/meta-data/public-ipv4":
            return self._say(200, self.fake.address) if self.fake.address else self._say(404, "")
        if path == f"{ROLES}/" and self.fake.role:
            return self._say(200, "a-role")
        answers = {
            f"{ROLES}/a-role": self.fake.role or None,
            "/latest/meta-data/spot/instance-action": self.fake.action,
            "/latest/meta-data/events/recommendations/rebalance": self.fake.rebalance,
        }
        answer = answers.get(path)
        return self._say(404, "") if answer is None else self._say(200, json.dumps(answer))

    def _gcp(self, key: str, query: dict[str, str]) -> None:
        if self.headers.get("Metadata-Flavor") != "Google":
            return self._say(403, "Missing Metadata-Flavor:Google header.")
        if query.get("wait_for_change") == "true":
            known = query.get("last_etag", _etag(self.fake.gcp(key)))
            with self.fake.changed:
                self.fake.changed.wait_for(
                    lambda: self.fake.closing or _etag(self.fake.gcp(key)) != known, float(query["timeout_sec"])
                )
        value = self.fake.gcp(key)
        return self._say(200, value, ETag=_etag(value))

    def _azure(self, path: str, query: dict[str, str]) -> None:
        if self.headers.get("Metadata") != "true" or "api-version" not in query:
            return self._say(400, "")
        if path == "/metadata/instance/compute/name" and query.get("format") == "text":
            return self._say(200, self.fake.machine)
        if path == "/metadata/scheduledevents":
            return self._say(200, json.dumps({"DocumentIncarnation": 1, "Events": self.fake.events}))
        return self._say(404, "")

    def _say(self, status: int, text: str, **headers: str) -> None:
        self._wait(self.fake.delay_s)
        status = self.fake.status or status
        body = (text if self.fake.body is None or status != 200 else self.fake.body).encode()
        self.send_response(status)
        for name, value in headers.items() if status == 200 else ():
            self.send_header(name, value)
        if status in (301, 302, 307):
            self.send_header("Location", self.fake.url + "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        for byte in body:
            self._wait(self.fake.drip_s)
            self.wfile.write(bytes([byte]))

    def _wait(self, seconds: float) -> None:
        with self.fake.changed:
            self.fake.changed.wait_for(lambda: self.fake.closing, seconds)


def _etag(value: str) -> str:
    return value.encode().hex()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, *_: object) -> None:
        """Clients hang up."""


@contextmanager
def metadata_service() -> Iterator[Fake]:
    """A running service; ended with all its requests afterwards."""
    fake = Fake()
    handler = type("Handler", (Handler,), {"fake": fake})
    with _Server(("127.0.0.1", 0), handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield fake
        finally:
            with fake.changed:
                fake.closing = True
                fake.changed.notify_all()
            server.shutdown()
            thread.join()
