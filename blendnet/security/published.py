"""What a Manager in a cloud says of itself in its farm's bucket: where it is, and by which authority it is known.

Whoever can write it can pose as the Manager: its own machine can, and who has the cloud's login.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlsplit

from blendnet.errors import FarmError, UserError
from blendnet.security.agents import fingerprint, only_certificate

MAX_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Published:
    """Who the Manager is."""

    url: str
    """https://host:port."""
    ca_pem: str
    """Certificate of the farm's authority: nothing else is trusted for the Manager."""
    fingerprint: str
    """SHA-256 of that certificate, for people who compare."""
    version: str
    time: float
    """When it said so, seconds since the epoch, by its own clock."""
    ended: str = ""
    """Why it ended itself; '' while it runs, as far as it could say."""

    def to_json(self) -> bytes:
        """What lies in the bucket."""
        return json.dumps(asdict(self), indent=1).encode()


def publication(url: str, ca_pem: bytes, *, version: str, time: float, ended: str = "") -> Published:
    """What a Manager says of itself now."""
    mark = fingerprint(ca_pem)
    return Published(url=url, ca_pem=ca_pem.decode(), fingerprint=mark, version=version, time=time, ended=ended)


def read_published(data: bytes) -> Published:
    """What lies in the bucket. Raises FarmError when no Manager has written that."""
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("it is too long")
        fields = json.loads(data)
        known = Published.__dataclass_fields__
        read = Published(**{name: value for name, value in fields.items() if name in known})
        place = urlsplit(read.url)
        if place.scheme != "https" or not place.hostname or place.username or place.query or place.path.strip("/"):
            raise ValueError("its address is none")
        read = replace(read, ca_pem=only_certificate(read.ca_pem.encode()).decode())
        if fingerprint(read.ca_pem.encode()) != read.fingerprint:
            raise ValueError("the fingerprint is not the certificate's")
        if not all(isinstance(word, str) for word in (read.version, read.ended)):
            raise ValueError("a word is none")
        float(read.time)
    except (ValueError, TypeError, AttributeError, UserError) as error:
        raise FarmError(
            f"what lies in the bucket in the Manager's name is not what a Manager writes: {error}"
        ) from error
    return read
