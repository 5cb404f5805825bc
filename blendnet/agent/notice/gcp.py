"""Google Cloud: notices of Compute Engine from its metadata server, by requests that hang until something changes.

https://cloud.google.com/compute/docs/instances/preemptible and /docs/metadata/querying-metadata
"""

from __future__ import annotations

from urllib.parse import urlencode

from blendnet.agent.notice.notice import Notice
from blendnet.errors import NoticeUnknown
from blendnet.metadata import GCP_ROOT, Answer, GcpMetadata, MetadataService

HANG_S = 60
"""A request that waits for a change is answered after so long in any case."""
PAUSE_S = 1.0
"""Between two requests, should the server not wait."""


def is_preempted(text: str) -> bool:
    """What `instance/preempted` says. Raises NoticeUnknown. PURE."""
    word = text.strip().upper()
    if word not in ("TRUE", "FALSE"):
        raise NoticeUnknown(f"the metadata server answered neither TRUE nor FALSE: {text[:200]!r}")
    return word == "TRUE"


def maintenance_notice(text: str) -> Notice | None:
    """What `instance/maintenance-event` announces: machines that cannot move to another host are ended. PURE."""
    if text.strip().upper() != "TERMINATE_ON_HOST_MAINTENANCE":
        return None
    return Notice(None, "Google Cloud will end this machine for maintenance of its host")


class GcpNotices:
    """A Source (watch.py)."""

    name = "Google Cloud"
    pause_s = PAUSE_S

    def __init__(self, service: MetadataService, *, notice_s: float, hang_s: int = HANG_S) -> None:
        """`notice_s`: seconds from the preemption notice to the end; the server does not say."""
        self._service = service
        self._metadata = GcpMetadata(service)
        self._notice_s = notice_s
        self._hang_s = hang_s
        self._etag = ""

    def poll(self) -> Notice | None:
        """The first call answers at once, later ones when something changes. Raises NoticeUnknown."""
        preempted = self._preempted()
        if is_preempted(preempted.text):
            return Notice(self._notice_s, "Google Cloud takes this machine back")
        self._etag = preempted.etag
        return maintenance_notice(self._get("maintenance-event").text)

    def _preempted(self) -> Answer:
        if not self._etag:
            return self._get("preempted")
        # With the last ETag a change between two requests is not missed.
        wait = urlencode({"wait_for_change": "true", "timeout_sec": self._hang_s, "last_etag": self._etag})
        return self._get(f"preempted?{wait}", timeout_s=self._hang_s + self._service.timeout_s)

    def _get(self, path: str, *, timeout_s: float | None = None) -> Answer:
        answer = self._metadata.get(GCP_ROOT + path, timeout_s=timeout_s)
        if answer.status != 200:
            self._etag = ""
            raise NoticeUnknown(f"the metadata server answered {path} with status {answer.status}")
        return answer
