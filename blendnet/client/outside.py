"""Requests to the farm's bucket: another host, other certificates, and nothing of the Manager's login."""

from __future__ import annotations

import logging
import ssl
import threading
import time

import httpx

from blendnet import __version__

PAUSE_S = 300.0
"""A bucket that could not be reached is left alone for so long."""
TIMEOUT = httpx.Timeout(60.0, connect=5.0)

log = logging.getLogger(__name__)
# At level INFO it tells every address, and those of the bucket are secrets.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


class Outside:
    """The way to the bucket, and what one connection knows about it. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._closed_until = 0.0
        self._noted = False
        self.offered = True
        """False once the Manager said that it has no bucket to fetch from."""
        self.put_from_bytes: int | None = 0
        """Files from this size on may be put there; None once the Manager said that none may."""

    @property
    def open(self) -> bool:
        """False while the bucket is left alone."""
        return time.monotonic() >= self._closed_until

    @property
    def client(self) -> httpx.Client:
        """Trusts the system's certificates, or those that SSL_CERT_FILE names; made when it is first needed."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    verify=ssl.create_default_context(),
                    timeout=TIMEOUT,
                    headers={"User-Agent": f"blendnet/{__version__}"},
                    follow_redirects=False,
                    trust_env=False,
                )
            return self._client

    def leave_alone(self, url: str, why: str) -> None:
        """Use the Manager for a while; said once."""
        self._closed_until = time.monotonic() + PAUSE_S
        if not self._noted:
            self._noted = True
            host = httpx.URL(url).host
            log.warning("the farm's bucket at %s cannot be used (%s): files go through the Manager", host, why)

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
