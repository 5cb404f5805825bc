"""AWS: notices of EC2 from its metadata service.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html and rebalance-recommendations
"""

from __future__ import annotations

from datetime import UTC, datetime

from blendnet.agent.notice.notice import Notice
from blendnet.errors import NoticeUnknown
from blendnet.metadata import Answer, AwsMetadata, MetadataService, json_object, moment

ACTION_PATH = "/latest/meta-data/spot/instance-action"
REBALANCE_PATH = "/latest/meta-data/events/recommendations/rebalance"
LONGEST_NOTICE_S = 120.0
"""EC2 announces the end of a spot instance two minutes before: anything longer is a wrong clock."""


def action_notice(text: str, now: datetime) -> Notice:
    """What `spot/instance-action` announces. Raises NoticeUnknown. PURE."""
    answer = json_object(text)
    time = moment(answer.get("time"))
    left_s = min(LONGEST_NOTICE_S, max(0.0, (time - now).total_seconds()))
    return Notice(left_s, f"AWS takes this machine back ({str(answer.get('action'))[:20]} at {time:%H:%M:%S} UTC)")


def rebalance_notice(text: str) -> Notice:
    """What `events/recommendations/rebalance` announces. Raises NoticeUnknown. PURE."""
    time = moment(json_object(text).get("noticeTime"))
    return Notice(None, f"AWS expects to take this machine back (rebalance recommendation of {time:%H:%M:%S} UTC)")


class AwsNotices:
    """A Source (watch.py)."""

    name = "AWS"

    def __init__(self, service: MetadataService, *, pause_s: float, drain_on_rebalance: bool) -> None:
        self.pause_s = pause_s
        self._metadata = AwsMetadata(service)
        self._drain_on_rebalance = drain_on_rebalance

    def poll(self) -> Notice | None:
        """Raises NoticeUnknown."""
        action = self._get(ACTION_PATH)
        if action.status == 200:
            return action_notice(action.text, action.date or datetime.now(UTC))
        if self._drain_on_rebalance:
            rebalance = self._get(REBALANCE_PATH)
            if rebalance.status == 200:
                return rebalance_notice(rebalance.text)
        return None

    def _get(self, path: str) -> Answer:
        """200 or 404: there is none."""
        answer = self._metadata.get(path)
        if answer.status not in (200, 404):
            raise NoticeUnknown(f"the metadata service answered {path} with status {answer.status}")
        return answer
