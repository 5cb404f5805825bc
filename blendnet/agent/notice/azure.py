"""Azure: Scheduled Events of this virtual machine from its metadata service.

https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from blendnet.agent.notice.notice import Notice
from blendnet.errors import NoticeUnknown
from blendnet.metadata import Answer, MetadataService, json_object, moment

EVENTS_PATH = "/metadata/scheduledevents?api-version=2020-07-01"
NAME_PATH = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
HEADERS = {"Metadata": "true"}
ENDING = ("Preempt", "Terminate", "Reboot", "Redeploy")
"""Events that end the machine; the others freeze it for seconds."""
FIRST_ANSWER_S = 150.0
"""The first request switches Scheduled Events on, which may take two minutes."""


def event_notice(text: str, *, machine: str, now: datetime) -> Notice | None:
    """What Scheduled Events announce for `machine`; its neighbours' are listed too. Raises NoticeUnknown. PURE."""
    events = json_object(text).get("Events")
    if not isinstance(events, list):
        raise NoticeUnknown(f"the metadata service listed no events: {text[:200]!r}")
    notices = [_notice(event, now) for event in events if _ends(event, machine)]
    return min(notices, key=lambda notice: notice.deadline_s or 0.0, default=None)


def _ends(event: Any, machine: str) -> bool:
    if not isinstance(event, dict) or event.get("EventType") not in ENDING or event.get("EventStatus") == "Completed":
        return False
    resources = event.get("Resources")
    return isinstance(resources, list) and machine.casefold() in {str(name).casefold() for name in resources}


def _notice(event: dict[str, Any], now: datetime) -> Notice:
    """NotBefore is empty once the event has begun."""
    not_before = event.get("NotBefore")
    left_s = max(0.0, (moment(not_before) - now).total_seconds()) if not_before else 0.0
    return Notice(left_s, f"Azure takes this machine back ({event['EventType']} in {left_s:.0f} s)")


class AzureNotices:
    """A Source (watch.py)."""

    name = "Azure"

    def __init__(self, service: MetadataService, *, pause_s: float) -> None:
        self.pause_s = pause_s
        self._service = service
        self._machine = ""

    def poll(self) -> Notice | None:
        """Raises NoticeUnknown."""
        if not self._machine:
            self._machine = self._get(NAME_PATH).text.strip()
        answer = self._get(EVENTS_PATH, timeout_s=FIRST_ANSWER_S)
        return event_notice(answer.text, machine=self._machine, now=answer.date or datetime.now(UTC))

    def _get(self, path: str, *, timeout_s: float | None = None) -> Answer:
        answer = self._service.get(path, HEADERS, timeout_s=timeout_s)
        if answer.status != 200:
            raise NoticeUnknown(f"the metadata service answered {path} with status {answer.status}")
        return answer
