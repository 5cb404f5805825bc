"""AWS: notices of EC2 from its metadata service, IMDSv2 alone (each request carries a token).

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html and rebalance-recommendations
"""

from __future__ import annotations

from datetime import UTC, datetime

from blendnet.agent.notice.metadata import Answer, MetadataService, json_object, moment
from blendnet.agent.notice.notice import Notice
from blendnet.errors import NoticeUnknown

TOKEN_PATH = "/latest/api/token"
TOKEN_TTL_S = 21_600
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
        self._service = service
        self._drain_on_rebalance = drain_on_rebalance
        self._token = ""

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
        if not self._token:
            self._token = self._new_token()
        answer = self._service.get(path, {"X-aws-ec2-metadata-token": self._token})
        if answer.status == 401:  # It has expired.
            self._token = self._new_token()
            answer = self._service.get(path, {"X-aws-ec2-metadata-token": self._token})
        if answer.status not in (200, 404):
            raise NoticeUnknown(f"the metadata service answered {path} with status {answer.status}")
        return answer

    def _new_token(self) -> str:
        answer = self._service.put(TOKEN_PATH, {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)})
        if answer.status != 200 or not answer.text:
            raise NoticeUnknown(f"the metadata service gave no token: status {answer.status}")
        return answer.text.strip()
