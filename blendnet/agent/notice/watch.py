"""The threads that watch for notices. Whatever a source does, the agent goes on working."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from blendnet.agent.notice.aws import AwsNotices
from blendnet.agent.notice.azure import AzureNotices
from blendnet.agent.notice.file import NoticeFile
from blendnet.agent.notice.gcp import GcpNotices
from blendnet.agent.notice.notice import Notice
from blendnet.errors import NoticeUnknown
from blendnet.metadata import SERVICE_URL, MetadataService
from blendnet.settings import Settings

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0
"""A source that does not answer is asked more and more seldom, down to once in so many seconds."""


class Source(Protocol):
    """Somebody who announces that this machine goes."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def pause_s(self) -> float:
        """Seconds to wait between two polls."""

    def poll(self) -> Notice | None:
        """What is announced now; may take a while. Raises NoticeUnknown."""


def pause_s(usual_s: float, failures: int) -> float:
    """Seconds to wait after `failures` polls in a row went wrong: doubles up to a minute. PURE."""
    return usual_s if not failures else min(LONGEST_PAUSE_S, max(1.0, usual_s) * 2 ** min(failures - 1, 10))


class Watcher:
    """Polls one source in a thread until it has announced an end with a time, or until `close`."""

    def __init__(self, source: Source, on_notice: Callable[[Notice], None]) -> None:
        """`on_notice` is called in the thread: once for each end with a time, once for the first without."""
        self._source = source
        self._on_notice = on_notice
        self._closed = threading.Event()
        self._failures = 0
        self._drains = False
        self._thread = threading.Thread(target=self._keep, name=f"notice of {source.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Poll no more. A poll in progress is not waited for."""
        self._closed.set()

    def _keep(self) -> None:
        while not self._closed.is_set():
            notice = self._poll()
            if notice is not None and not self._closed.is_set():
                self._tell(notice)
            self._closed.wait(pause_s(self._source.pause_s, self._failures))

    def _tell(self, notice: Notice) -> None:
        if notice.deadline_s is not None:
            self._closed.set()
        elif self._drains:
            return
        self._drains = True
        self._on_notice(notice)

    def _poll(self) -> Notice | None:
        """Trouble is told once, and so is its end."""
        try:
            notice = self._source.poll()
        except NoticeUnknown as error:
            self._failures += 1
            if self._failures == 1:
                logger.warning("no preemption notice of %s can come in until this ends: %s", self._source.name, error)
            return None
        if self._failures:
            logger.info("%s answers again", self._source.name)
        self._failures = 0
        return notice


def sources(settings: Settings) -> list[Source]:
    """Whom the settings name. Raises NoticeUnknown when they make no sense."""
    found: list[Source] = []
    if settings.notice:
        found.append(_cloud(settings, MetadataService(settings.notice_url or SERVICE_URL)))
    if settings.notice_file is not None:
        found.append(NoticeFile(settings.notice_file, notice_s=settings.notice_s))
    return found


def _cloud(settings: Settings, service: MetadataService) -> Source:
    if settings.notice == "aws":
        drain = settings.notice_rebalance == "drain"
        return AwsNotices(service, pause_s=settings.notice_poll_s, drain_on_rebalance=drain)
    if settings.notice == "azure":
        return AzureNotices(service, pause_s=settings.notice_poll_s)
    return GcpNotices(service, notice_s=settings.notice_s)
