"""A Manager in a cloud says in its farm's bucket who it is and where, and again when its address changes."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from blendnet import __version__
from blendnet.errors import BlendNetError
from blendnet.manager import outside
from blendnet.manager.background import Background
from blendnet.provision.manager_machine import PUBLISHED
from blendnet.security.ca import CA_CERTIFICATE, ensure_server_certificate
from blendnet.security.published import Published, publication
from blendnet.settings import Settings
from blendnet.storage.bucket import ObjectBucket

log = logging.getLogger(__name__)

ADDRESS_POLL_S = 60.0
RETRY_S = 10.0


class Announcer(Background):
    """Keeps certificate and bucket true to this machine's public address, in a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        security: Path,
        bucket: ObjectBucket,
        *,
        port: int,
        renewed: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`security`: folder of the authority; `port`: the API's; `renewed()`: the server's certificate is another."""
        super().__init__("announcer")
        self._settings = settings
        self._security = security
        self._bucket = bucket
        self._port = port
        self._renewed = renewed
        self._clock = clock
        self._said: Published | None = None

    def tick(self) -> None:
        """Say where the Manager is, if that is not what was said last.

        Raises:
            NoticeUnknown: the metadata service does not answer.
            StoreUnreachable, StoreRefused: the bucket takes nothing.
        """
        address = outside.cloud_address(self._settings)
        names = [*outside.addresses(self._settings), *([address] if address else [])]
        certificate = self._security / "server.crt"
        before = certificate.read_bytes()
        ensure_server_certificate(self._security, names)
        if certificate.read_bytes() != before:
            self._renewed()
        url = outside.url_of(address or names[0], self._port)
        if self._said is None or self._said.url != url:
            self._say(url)

    def say_ended(self, why: str) -> None:
        """Say that the Manager has ended itself. What does not work is logged: it ends anyway."""
        if self._said is None:
            return
        try:
            self._say(self._said.url, ended=why)
        except BlendNetError as error:
            log.warning("the bucket does not say that the Manager has ended: %s", error)

    def _say(self, url: str, *, ended: str = "") -> None:
        ca = (self._security / CA_CERTIFICATE).read_bytes()
        said = publication(url, ca, version=__version__, time=self._clock(), ended=ended)
        data = said.to_json()
        with tempfile.NamedTemporaryFile(dir=self._security, prefix=".published.") as file:
            file.write(data)
            file.flush()
            sha256 = hashlib.sha256(data).hexdigest()
            self._bucket.put(PUBLISHED, Path(file.name), sha256=sha256, size_bytes=len(data), replace=True)
        self._said = said
        log.info("%s says that the Manager is at %s, CA %s", self._bucket.where, url, said.fingerprint)

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait_s = ADDRESS_POLL_S
            try:
                self.tick()
            except BlendNetError as error:
                log.warning("the Manager cannot say where it is: %s", error)
                wait_s = RETRY_S
            except Exception:
                # Whatever it was, the farm works, and somebody may be waiting to find it.
                log.exception("while saying where the Manager is")
                wait_s = RETRY_S
            self._stopping.wait(wait_s)
