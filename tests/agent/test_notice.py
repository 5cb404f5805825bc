"""Preemption notices: what clouds answer, asked over HTTP from fakes of their metadata services, and the watchers."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blendnet.agent.notice.aws import AwsNotices, action_notice, rebalance_notice
from blendnet.agent.notice.azure import AzureNotices, event_notice
from blendnet.agent.notice.file import NoticeFile, file_notice
from blendnet.agent.notice.gcp import GcpNotices, is_preempted, maintenance_notice
from blendnet.agent.notice.notice import Notice, render_grace_s
from blendnet.agent.notice.watch import Source, Watcher, pause_s, sources
from blendnet.errors import NoticeUnknown
from blendnet.metadata import MetadataService, json_object, moment
from blendnet.settings import Settings
from tests.agent.metadata_fakes import Fake, metadata_service

NOW = datetime(2026, 11, 22, 3, 0, 0, tzinfo=UTC)
DEADLINE_S = 20.0
SHORT_S = 0.3
"""Time limit of requests that are to run into it."""


@pytest.fixture
def fake() -> Iterator[Fake]:
    with metadata_service() as service:
        yield service


def _aws(fake: Fake, *, drain: bool = True, timeout_s: float = 5.0) -> AwsNotices:
    return AwsNotices(MetadataService(fake.url, timeout_s=timeout_s), pause_s=0.05, drain_on_rebalance=drain)


def _gcp(fake: Fake, *, hang_s: int = 30) -> GcpNotices:
    return GcpNotices(MetadataService(fake.url), notice_s=30.0, hang_s=hang_s)


def _azure(fake: Fake) -> AzureNotices:
    return AzureNotices(MetadataService(fake.url), pause_s=0.05)


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("deadline_s", "grace_s"),
    [
        pytest.param(120.0, 90.0, id="AWS"),
        pytest.param(30.0, 15.0, id="Google and Azure"),
        pytest.param(15.0, 7.5, id="SIGTERM"),
        pytest.param(0.0, 0.0, id="now"),
        pytest.param(-5.0, 0.0, id="overdue"),
        pytest.param(900.0, 870.0, id="planned maintenance"),
    ],
)
def test_part_of_the_time_is_kept_for_giving_back(deadline_s: float, grace_s: float) -> None:
    assert render_grace_s(deadline_s) == grace_s


@pytest.mark.parametrize(("time_text", "left_s"), [("02:59:00", 0.0), ("03:01:30", 90.0), ("03:30:00", 120.0)])
def test_aws_action_says_when_the_machine_goes(time_text: str, left_s: float) -> None:
    notice = action_notice(f'{{"action": "stop", "time": "2026-11-22T{time_text}Z"}}', NOW)
    assert notice.deadline_s == left_s
    assert f"stop at {time_text} UTC" in notice.why


def test_aws_rebalance_recommendation_sets_no_time() -> None:
    notice = rebalance_notice('{"noticeTime": "2026-11-22T02:59:00Z"}')
    assert notice.deadline_s is None
    assert "rebalance" in notice.why


def test_google_says_true_or_false() -> None:
    assert is_preempted("TRUE")
    assert not is_preempted("FALSE\n")
    with pytest.raises(NoticeUnknown):
        is_preempted("<html>")


def test_google_maintenance_counts_only_when_it_ends_the_machine() -> None:
    assert maintenance_notice("NONE") is None
    assert maintenance_notice("MIGRATE_ON_HOST_MAINTENANCE") is None
    ending = maintenance_notice("TERMINATE_ON_HOST_MAINTENANCE")
    assert ending is not None
    assert ending.deadline_s is None


def _events(kind: str = "Preempt", resources: str = '["vm-1"]', before: str = "", status: str = "Scheduled") -> str:
    fields = f'"EventType": "{kind}", "Resources": {resources}, "NotBefore": "{before}", "EventStatus": "{status}"'
    return f'{{"DocumentIncarnation": 2, "Events": [{{{fields}}}]}}'


@pytest.mark.parametrize(
    ("text", "left_s"),
    [
        pytest.param(_events(before="Sun, 22 Nov 2026 03:00:30 GMT"), 30.0, id="scheduled"),
        pytest.param(_events(before="2026-11-22T03:00:30Z"), 30.0, id="scheduled, ISO time"),
        pytest.param(_events(status="Started"), 0.0, id="has begun"),
        pytest.param(_events("Terminate", before="Sun, 22 Nov 2026 03:05:00 GMT"), 300.0, id="terminate"),
        pytest.param(_events(resources='["other", "VM-1"]', status="Started"), 0.0, id="among others, other case"),
        pytest.param(_events("Freeze"), None, id="only frozen"),
        pytest.param(_events(resources='["vm-2"]'), None, id="a neighbour's"),
        pytest.param(_events(resources="7"), None, id="strange resources"),
        pytest.param(_events(status="Completed"), None, id="is over"),
        pytest.param('{"Events": []}', None, id="none"),
    ],
)
def test_azure_event_counts_when_it_ends_this_machine(text: str, left_s: float | None) -> None:
    notice = event_notice(text, machine="vm-1", now=NOW)
    assert (notice and notice.deadline_s) == left_s


@pytest.mark.parametrize(
    ("text", "left_s"),
    [("", 30.0), ("12.5\n", 12.5), ("-1", 0.0), ("nan", 30.0), ("inf", 30.0), ("soon", 30.0)],
)
def test_notice_file_may_hold_the_seconds_that_are_left(text: str, left_s: float) -> None:
    assert file_notice(text, notice_s=30.0).deadline_s == left_s


@given(st.text())
def test_answers_that_make_no_sense_are_an_error_of_their_own(text: str) -> None:
    for parse in (
        lambda: action_notice(text, NOW),
        lambda: rebalance_notice(text),
        lambda: event_notice(text, machine="vm-1", now=NOW),
        lambda: json_object(text),
        lambda: moment(text),
    ):
        try:
            parse()
        except NoticeUnknown:
            continue


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "null", '{"time": 7}', "{}"])
def test_strange_json_is_an_error_of_its_own(text: str) -> None:
    with pytest.raises(NoticeUnknown):
        action_notice(text, NOW)


def test_aws_is_asked_with_a_token_that_lasts(fake: Fake) -> None:
    source = _aws(fake)
    assert source.poll() is None
    assert source.poll() is None
    assert fake.requests.count("PUT /latest/api/token") == 1
    fake.spot_action(100.0)
    notice = source.poll()
    assert notice is not None
    assert notice.deadline_s == pytest.approx(100.0, abs=3.0)


def test_aws_token_is_renewed_when_it_has_expired(fake: Fake) -> None:
    source = _aws(fake)
    source.poll()
    fake.tokens.clear()
    fake.spot_action(60.0)
    assert source.poll() is not None
    assert fake.requests.count("PUT /latest/api/token") == 2


def test_aws_tokens_that_are_never_good_are_an_error(fake: Fake) -> None:
    fake.token_life_s = -1.0
    with pytest.raises(NoticeUnknown, match="status 401"):
        _aws(fake).poll()


def test_aws_rebalance_is_looked_for_only_when_it_matters(fake: Fake) -> None:
    fake.rebalance = {"noticeTime": "2026-11-22T02:59:00Z"}
    drained = _aws(fake).poll()
    assert drained is not None
    assert drained.deadline_s is None
    assert _aws(fake, drain=False).poll() is None


def test_aws_notice_goes_by_the_services_clock(fake: Fake) -> None:
    fake.clock_ahead_s = 7200.0
    fake.spot_action(100.0)
    notice = _aws(fake).poll()
    assert notice is not None
    assert notice.deadline_s == pytest.approx(100.0, abs=3.0)


def test_google_answers_when_something_changes(fake: Fake) -> None:
    source = _gcp(fake)
    assert source.poll() is None
    told: queue.SimpleQueue[Notice] = queue.SimpleQueue()
    watcher = Watcher(source, told.put)
    watcher.start()
    _until(lambda: any("wait_for_change=true" in request for request in fake.requests))
    fake.gcp_preempt()
    assert told.get(timeout=DEADLINE_S).deadline_s == 30.0


def test_google_change_between_two_requests_is_not_missed(fake: Fake) -> None:
    source = _gcp(fake)
    assert source.poll() is None
    fake.gcp_preempt()
    started = time.monotonic()
    assert source.poll() is not None
    assert time.monotonic() - started < DEADLINE_S


def test_google_maintenance_is_noticed_between_two_requests(fake: Fake) -> None:
    source = _gcp(fake, hang_s=1)
    fake.gcp_maintain("TERMINATE_ON_HOST_MAINTENANCE")
    notice = source.poll()
    assert notice is not None
    assert notice.deadline_s is None


def test_azure_events_of_this_machine_count(fake: Fake) -> None:
    source = _azure(fake)
    fake.azure_event("Preempt", 30.0, machine="vm-2")
    assert source.poll() is None
    fake.azure_event("Preempt", 30.0)
    notice = source.poll()
    assert notice is not None
    assert notice.deadline_s == pytest.approx(30.0, abs=3.0)


@pytest.mark.parametrize("make", [_aws, _gcp, _azure], ids=["aws", "gcp", "azure"])
@pytest.mark.parametrize("status", [302, 403, 500])
def test_service_that_refuses_is_an_error_and_no_notice(
    fake: Fake, make: Callable[[Fake], Source], status: int
) -> None:
    fake.status = status
    source = make(fake)
    with pytest.raises(NoticeUnknown):
        source.poll()
    assert not any("elsewhere" in request for request in fake.requests)
    fake.status = None
    assert source.poll() is None


@pytest.mark.parametrize("make", [_aws, _gcp, _azure], ids=["aws", "gcp", "azure"])
def test_service_that_is_not_there_is_an_error(fake: Fake, make: Callable[[Fake], Source]) -> None:
    fake.url = "http://127.0.0.1:9"
    with pytest.raises(NoticeUnknown, match=r"127\.0\.0\.1:9 does not answer"):
        make(fake).poll()


@pytest.mark.parametrize(("delay_s", "drip_s"), [(60.0, 0.0), (0.0, 0.2)], ids=["hangs", "drips"])
def test_service_that_takes_too_long_is_hung_up(fake: Fake, delay_s: float, drip_s: float) -> None:
    fake.delay_s, fake.drip_s = delay_s, drip_s
    started = time.monotonic()
    with pytest.raises(NoticeUnknown):
        _aws(fake, timeout_s=SHORT_S).poll()
    assert time.monotonic() - started < 5.0


def test_service_that_talks_rubbish_is_an_error(fake: Fake) -> None:
    fake.body = "<html>captive portal</html>"
    for source in (_aws(fake), _gcp(fake), _azure(fake)):
        with pytest.raises(NoticeUnknown):
            source.poll()


def test_environment_proxy_is_not_asked(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert _aws(fake).poll() is None


@pytest.mark.parametrize("url", ["https://169.254.169.254", "169.254.169.254", "", "file:///etc/passwd"])
def test_address_of_a_service_is_plain_http(url: str) -> None:
    with pytest.raises(NoticeUnknown, match="no address of a metadata service"):
        MetadataService(url)


def test_notice_file_counts_once(tmp_path: Path) -> None:
    source = NoticeFile(tmp_path / "notice", notice_s=30.0)
    assert source.poll() is None
    (tmp_path / "notice").write_text("5")
    assert source.poll() == file_notice("5", notice_s=30.0)
    assert source.poll() is None


def test_notice_file_that_cannot_be_taken_up_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notice").mkdir()
    with pytest.raises(NoticeUnknown, match="cannot take up"):
        NoticeFile(tmp_path / "notice", notice_s=30.0).poll()


class Scripted:
    """A source that says one thing after the other, the last for ever."""

    name = "a script"
    pause_s = 0.0

    def __init__(self, *says: Notice | Exception | None) -> None:
        self._says = list(says)
        self.polls = 0

    def poll(self) -> Notice | None:
        self.polls += 1
        said = self._says.pop(0) if len(self._says) > 1 else self._says[0]
        if isinstance(said, Exception):
            raise said
        return said


def _watched(source: Source) -> tuple[Watcher, queue.SimpleQueue[Notice]]:
    told: queue.SimpleQueue[Notice] = queue.SimpleQueue()
    watcher = Watcher(source, told.put)
    watcher.start()
    return watcher, told


def test_watcher_tells_an_end_with_a_time_once() -> None:
    notice = Notice(30.0, "it goes")
    source = Scripted(None, None, notice)
    watcher, told = _watched(source)
    assert told.get(timeout=DEADLINE_S) is notice
    _until(lambda: not watcher._thread.is_alive())
    assert source.polls == 3
    assert told.empty()


def test_watcher_goes_on_after_an_end_without_a_time() -> None:
    drain, end = Notice(None, "soon"), Notice(120.0, "it goes")
    _, told = _watched(Scripted(drain, drain, drain, end))
    assert [told.get(timeout=DEADLINE_S) for _ in range(2)] == [drain, end]


def test_watcher_survives_trouble_and_tells_it_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blendnet.agent.notice.watch.pause_s", lambda usual_s, failures: usual_s)
    caplog.set_level(logging.INFO)
    trouble = NoticeUnknown("no route to host")
    _, told = _watched(Scripted(trouble, trouble, None, Notice(30.0, "it goes")))
    told.get(timeout=DEADLINE_S)
    lines = [record.message for record in caplog.records if "a script" in record.message]
    assert len(lines) == 2
    assert "no route to host" in lines[0]
    assert lines[1] == "a script answers again"


def test_watcher_is_silent_once_it_is_closed() -> None:
    source = Scripted(None)
    watcher, told = _watched(source)
    _until(lambda: source.polls)
    watcher.close()
    _until(lambda: not watcher._thread.is_alive())
    assert told.empty()


@pytest.mark.parametrize(
    ("usual_s", "failures", "expected_s"),
    [(5.0, 0, 5.0), (5.0, 1, 5.0), (5.0, 3, 20.0), (5.0, 1000, 60.0), (0.0, 0, 0.0), (0.0, 1, 1.0)],
)
def test_source_in_trouble_is_asked_more_and_more_seldom(usual_s: float, failures: int, expected_s: float) -> None:
    assert pause_s(usual_s, failures) == expected_s


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({}, []),
        ({"notice": "aws"}, [AwsNotices]),
        ({"notice": "gcp"}, [GcpNotices]),
        ({"notice": "azure", "notice_file": "/run/notice"}, [AzureNotices, NoticeFile]),
    ],
    ids=["none", "aws", "gcp", "azure and a file"],
)
def test_settings_say_who_is_watched(values: dict[str, str], kinds: list[type]) -> None:
    assert [type(source) for source in sources(Settings.model_validate(values))] == kinds


def test_unknown_cloud_is_refused() -> None:
    with pytest.raises(ValueError, match="notice"):
        Settings(notice="nimbus")  # type: ignore[arg-type]


def test_time_of_a_notice_is_clipped_to_two_minutes_from_the_services_now() -> None:
    late = f"{NOW + timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
    assert action_notice(f'{{"time": "{late}"}}', NOW).deadline_s == 120.0
