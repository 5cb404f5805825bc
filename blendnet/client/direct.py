"""Files straight from and to the farm's bucket, where it has one that can be reached; else nothing happens here."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import httpx

from blendnet.client.connection import Http
from blendnet.errors import NotFound, UserError
from blendnet.messages import Blob, DirectDownload, IncomingPlace
from blendnet.storage.disk import PIECE_BYTES, write_all

ASK_FROM_BYTES = 1 << 20
"""For a smaller file it is not worth asking where to put it."""
FRESH_ADDRESSES = 3
"""How often a new address is asked for when one is refused without a byte: it may have expired."""

log = logging.getLogger(__name__)


def fetch(http: Http, sha256: str, file: int, progress: Callable[[int], None]) -> bool:
    """Write a blob to an open file; False, and told back to `progress`, when the Manager has to be asked for it.

    Raises what the Manager says to the question for the address, NotFound among it.
    """
    if not (http.outside.offered and http.outside.open):
        return False
    download = _Download(http, sha256, file, progress)
    if download.run():
        return True
    download.take_back()
    return False


class _Download:
    """One blob on its way."""

    def __init__(self, http: Http, sha256: str, file: int, progress: Callable[[int], None]) -> None:
        self._http = http
        self._sha256 = sha256
        self._file = file
        self._progress = progress
        self._digest = hashlib.sha256()
        self._position = 0
        self._asked = False

    def run(self) -> bool:
        """True when the whole blob is there and hashes right."""
        refused = 0
        while (url := self._address()) is not None:
            before = self._position
            try:
                status = self._get(url)
            except httpx.TransportError as error:
                if self._position > before:
                    continue
                self._http.outside.leave_alone(url, type(error).__name__)
                return False
            if status in (200, 206):
                return self._digest.hexdigest() == self._sha256
            if status not in (400, 401, 403):
                return False  # Not there, or not now: the Manager knows more, and finds out what is damaged.
            refused += 1
            if refused == FRESH_ADDRESSES:
                self._http.outside.leave_alone(url, f"status {status}")
                return False
        return False

    def take_back(self) -> None:
        """What came does not count."""
        if self._position:
            self._progress(-self._position)

    def _address(self) -> str | None:
        try:
            answer = self._http.get(DirectDownload, f"/v1/blobs/{self._sha256}/url", again=self._asked or None)
            self._asked = True
        except NotFound:
            return None  # Of an older Manager, or of the blob: the question for the blob itself tells.
        if answer.url is None:
            self._http.outside.offered = False
        return answer.url

    def _get(self, url: str) -> int:
        """Take what is left of the blob; the status. Raises httpx.TransportError."""
        headers = {"Range": f"bytes={self._position}-"} if self._position else {}
        with self._http.outside.client.stream("GET", url, headers=headers) as response:
            if response.status_code not in (200, 206):
                return response.status_code
            if response.status_code == 200 and self._position:
                return 0  # It knows no ranges.
            for data in response.iter_raw():  # As it comes: a cut must not lose what came before it.
                write_all(self._file, data, self._position)
                self._digest.update(data)
                self._position += len(data)
                self._progress(len(data))
            return response.status_code


def put(http: Http, file: Path, blob: Blob) -> str | None:
    """Put a file into the bucket; the name of its place there, None when it has to go to the Manager."""
    outside = http.outside
    if not outside.open or outside.put_from_bytes is None:
        return None
    if blob.size_bytes < max(outside.put_from_bytes, ASK_FROM_BYTES):
        return None
    place = _place(http, blob.size_bytes)
    if place is None or place.url is None:
        return None
    try:
        with file.open("rb", buffering=0) as source:
            response = outside.client.put(
                place.url,
                content=iter(lambda: source.read(PIECE_BYTES), b""),
                headers={**place.headers, "Content-Length": str(blob.size_bytes)},
            )
    except httpx.TransportError as error:
        outside.leave_alone(place.url, type(error).__name__)
        return None
    if not response.is_success:
        outside.leave_alone(place.url, f"status {response.status_code}")
        return None
    return place.name


def _place(http: Http, size_bytes: int) -> IncomingPlace | None:
    try:
        place: IncomingPlace = http.post(IncomingPlace, "/v1/incoming", {"size_bytes": size_bytes})
    except (NotFound, UserError):  # An older Manager.
        place = IncomingPlace()
    http.outside.put_from_bytes = place.from_bytes
    return place
