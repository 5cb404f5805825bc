"""HTTP to a cloud's metadata service: no proxy, no redirect, and every answer within a time limit."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException
from typing import Any, Protocol
from urllib.parse import urlsplit

from blendnet.errors import NoticeUnknown

SERVICE_URL = "http://169.254.169.254"
"""Where AWS, Google and Azure have theirs."""
TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 1 << 20
AWS_TOKEN_PATH = "/latest/api/token"
AWS_TOKEN_TTL_S = 21_600
GCP_ROOT = "/computeMetadata/v1/instance/"
GCP_HEADERS = {"Metadata-Flavor": "Google"}


@dataclass(frozen=True)
class Answer:
    """What the service said."""

    status: int
    text: str
    etag: str
    """'' when it gave none."""
    date: datetime | None
    """The service's own clock: this machine's may be wrong."""


class Metadata(Protocol):
    """The metadata of one cloud: what proves that the asker is on the machine is this object's business."""

    def get(self, path: str) -> Answer:
        """The service's answer, whatever its status. Raises NoticeUnknown."""
        ...


class MetadataService:
    """Requests to one service. Every call raises NoticeUnknown when there is no answer."""

    def __init__(self, url: str = SERVICE_URL, *, timeout_s: float = TIMEOUT_S) -> None:
        """`url`: 'http://host:port', without a path. Raises NoticeUnknown when it is none."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise NoticeUnknown(f"{url!r} is no address of a metadata service: it looks like {SERVICE_URL}")
        self.url = url
        self.timeout_s = timeout_s
        self._host, self._port = parts.hostname, parts.port or 80

    def get(self, path: str, headers: Mapping[str, str], *, timeout_s: float | None = None) -> Answer:
        """`timeout_s` replaces the usual limit, for requests that are meant to hang."""
        return self._ask("GET", path, headers, timeout_s or self.timeout_s)

    def put(self, path: str, headers: Mapping[str, str]) -> Answer:
        return self._ask("PUT", path, headers, self.timeout_s)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], timeout_s: float) -> Answer:
        connection = HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            connection.connect()
            with _hung_up_after(timeout_s, connection.sock):
                connection.request(method, path, headers=dict(headers))
                response = connection.getresponse()
                text = response.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")
                date = _date(response.headers.get("Date", ""))
                return Answer(response.status, text, response.headers.get("ETag", ""), date)
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise NoticeUnknown(f"the metadata service {self.url} does not answer {path}: {reason}") from error
        finally:
            connection.close()


@contextlib.contextmanager
def _hung_up_after(limit_s: float, connected: socket.socket) -> Iterator[None]:
    """End the conversation after `limit_s`: a socket's own timeout starts anew with every byte."""

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class AwsMetadata:
    """EC2's: IMDSv2 alone, each request carries a token."""

    def __init__(self, service: MetadataService) -> None:
        self._service = service
        self._token = ""

    def get(self, path: str) -> Answer:
        """Raises NoticeUnknown."""
        if not self._token:
            self._token = self._new_token()
        answer = self._service.get(path, {"X-aws-ec2-metadata-token": self._token})
        if answer.status == 401:  # It has expired.
            self._token = self._new_token()
            answer = self._service.get(path, {"X-aws-ec2-metadata-token": self._token})
        return answer

    def _new_token(self) -> str:
        answer = self._service.put(AWS_TOKEN_PATH, {"X-aws-ec2-metadata-token-ttl-seconds": str(AWS_TOKEN_TTL_S)})
        if answer.status != 200 or not answer.text:
            raise NoticeUnknown(f"the metadata service gave no token: status {answer.status}")
        return answer.text.strip()


class GcpMetadata:
    """Google's."""

    def __init__(self, service: MetadataService) -> None:
        self._service = service

    def get(self, path: str, *, timeout_s: float | None = None) -> Answer:
        """Raises NoticeUnknown."""
        return self._service.get(path, GCP_HEADERS, timeout_s=timeout_s)


PUBLIC_ADDRESS: Mapping[str, tuple[Callable[[MetadataService], Metadata], str]] = {
    "aws": (AwsMetadata, "/latest/meta-data/public-ipv4"),
    "gcp": (GcpMetadata, f"{GCP_ROOT}network-interfaces/0/access-configs/0/external-ip"),
}
"""Cloud -> how its service is asked, and for what."""


def public_address(cloud: str, url: str = SERVICE_URL) -> str:
    """The public IP address of this machine, '' when it has none. `cloud`: a key of PUBLIC_ADDRESS.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html (public-ipv4) and
    https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys (access-configs/0/external-ip).
    Raises NoticeUnknown: the service at `url` does not answer, or not with an address.
    """
    asker, path = PUBLIC_ADDRESS[cloud]
    answer = asker(MetadataService(url)).get(path)
    if answer.status == 404 or (answer.status == 200 and not answer.text.strip()):
        return ""
    try:
        if answer.status == 200:
            return str(ipaddress.ip_address(answer.text.strip()))
    except ValueError:
        pass
    raise NoticeUnknown(f"the metadata service of {cloud} answered with no address: status {answer.status}")


def json_object(text: str) -> dict[str, Any]:
    """An answer that has to be a JSON object. Raises NoticeUnknown. PURE."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoticeUnknown(f"the metadata service answered no JSON: {text[:200]!r}") from error
    if not isinstance(value, dict):
        raise NoticeUnknown(f"the metadata service answered no JSON object: {text[:200]!r}")
    return value


def moment(text: object) -> datetime:
    """A time as '2026-11-22T03:00:00Z' or 'Sun, 22 Nov 2026 03:00:00 GMT'. Raises NoticeUnknown. PURE."""
    try:
        return _aware(datetime.fromisoformat(str(text)))
    except ValueError:
        if (date := _date(str(text))) is not None:
            return date
        raise NoticeUnknown(f"the metadata service answered no time: {str(text)[:200]!r}") from None


def _date(text: str) -> datetime | None:
    try:
        return _aware(parsedate_to_datetime(text))
    except ValueError:
        return None


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
