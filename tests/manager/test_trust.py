"""Agents that fail again and again: when they are set aside, and what that keeps them from."""

from __future__ import annotations

import pytest

from blendnet.errors import NotFound
from blendnet.manager.trust import distrusted, may_try
from blendnet.messages import AgentReport, AgentView, ClaimRequest
from blendnet.models import State
from tests.manager.farms import Kit

ASIDE_S = 900.0


@pytest.fixture
def farm(kit: Kit) -> Kit:
    """A farm with two agents: 'good' and 'bad'."""
    for name in ("good", "bad"):
        kit.farm.report(name, AgentReport(pid=1), kit.now)
    return kit


def agent(kit: Kit, name: str = "bad") -> AgentView:
    return next(one for one in kit.farm.agents() if one.name == name)


def fail_jobs(kit: Kit, count: int, name: str = "bad", kind: str = "crash") -> list[str]:
    """Jobs on which an agent fails once; their ids."""
    jobs = [kit.submit() for _ in range(count)]
    for job in jobs:
        kit.fail(kit.chunk_ids(job)[0], name, kind)
    return [job.id for job in jobs]


def test_agent_that_fails_on_several_jobs_is_set_aside_with_its_reason(farm: Kit) -> None:
    jobs = fail_jobs(farm, 3)
    shown = agent(farm)
    assert shown.state == "aside"
    assert shown.message == shown.aside
    assert shown.aside == f"3 attempts in a row failed on it (jobs: {', '.join(jobs)}), last: crash: it broke"
    assert shown.aside_until == farm.now + ASIDE_S
    assert "agent bad is set aside for 900 s: 3 attempts" in farm.farm.events(jobs[-1])[-1].text
    assert agent(farm, "good").state == "idle"


def test_agent_that_is_set_aside_gets_no_work_while_there_is_another(farm: Kit) -> None:
    fail_jobs(farm, 3)
    job = farm.submit()
    [chunk] = farm.chunk_ids(job)
    claim = farm.claim(chunk, "bad")
    assert (claim.state, claim.wait_s) == ("later", 5.0)
    farm.complete(job)
    fresh = farm.submit()
    farm.merge(farm.render_frame(fresh))
    assert farm.farm.claim_finish(farm.frame(fresh), ClaimRequest(agent="bad"), farm.now).state == "later"
    farm.farm.agent_lost("good", farm.now)
    assert farm.farm.claim_finish(farm.frame(fresh), ClaimRequest(agent="bad"), farm.now).state == "finish"


def test_agent_that_is_set_aside_counts_for_no_plan(farm: Kit) -> None:
    assert farm.farm.slots() == 2
    fail_jobs(farm, 3)
    assert farm.farm.slots() == 1


def test_last_agent_is_never_set_aside(farm: Kit) -> None:
    fail_jobs(farm, 3, "bad")
    fail_jobs(farm, 3, "good")
    assert (agent(farm, "bad").aside != "", agent(farm, "good").aside) == (True, "")


@pytest.mark.parametrize("kind", ["interrupted", "scene", "device", "missing"])
def test_agent_is_not_blamed_for_what_is_not_its_fault(farm: Kit, kind: str) -> None:
    fail_jobs(farm, 4, kind=kind)
    assert agent(farm).aside == ""


def test_success_makes_up_for_failures(farm: Kit) -> None:
    fail_jobs(farm, 2)
    chunk = farm.chunk_ids(farm.submit())[0]
    farm.render(chunk, "bad")
    fail_jobs(farm, 2)
    assert agent(farm).aside == ""


def test_agent_that_fails_on_one_job_is_set_aside_only_when_others_get_on_with_it(farm: Kit) -> None:
    job = farm.submit([1, 2], samples=128, chunk_samples=16)
    farm.render(farm.chunk_ids(job)[-1], "good")
    for chunk in farm.chunk_ids(job)[:4]:
        farm.later(1)
        farm.fail(chunk, "bad")
    assert agent(farm).aside == ""  # What others did before says nothing: the scene may have grown too large since.
    farm.later(1)
    farm.render(farm.chunk_ids(job)[0], "good")
    farm.fail(farm.chunk_ids(job)[4], "bad")
    assert agent(farm).state == "aside"


def test_agent_that_was_set_aside_is_tried_again_but_not_for_long(farm: Kit) -> None:
    fail_jobs(farm, 3)
    farm.farm.report("bad", AgentReport(pid=1), farm.later(ASIDE_S - 1))
    assert agent(farm).state == "aside"
    farm.farm.report("bad", AgentReport(pid=1), farm.later(1))
    assert agent(farm).state == "idle"
    fail_jobs(farm, 1)
    assert agent(farm).state == "aside"


def test_trust_gives_an_agent_a_fresh_start(farm: Kit) -> None:
    fail_jobs(farm, 3)
    assert farm.farm.trust("bad").state == "idle"
    fail_jobs(farm, 2)
    assert agent(farm).aside == ""
    with pytest.raises(NotFound):
        farm.farm.trust("nobody")


def test_agent_that_was_stopped_and_comes_back_gets_a_fresh_start(farm: Kit) -> None:
    fail_jobs(farm, 3)
    farm.farm.report("bad", AgentReport(pid=1, state="stopped"), farm.now)
    farm.farm.report("bad", AgentReport(pid=2), farm.now)
    assert agent(farm).aside == ""


def test_bad_agent_does_not_kill_a_job(farm: Kit) -> None:
    """Whenever it is free, the bad agent is the first to take each message."""
    job = farm.submit([1, 2, 3, 4])
    for position in range(4):
        [chunk] = farm.chunk_ids(job, position)
        while farm.claim(chunk, "bad").state == "render":
            farm.fail(chunk, "bad")
        farm.render(chunk, "good")
        farm.merge(farm.frame(job, position))
        farm.finish(farm.frame(job, position))
    assert farm.farm.job(job.id).state is State.COMPLETED


@pytest.mark.parametrize(
    ("failing", "done_by_others", "result"),
    [
        ([], [], False),
        (["a", "b"], [], False),
        (["a", "a", "a"], [], False),
        (["a", "a", "a"], ["a"], True),
        (["a", "a", "a"], ["b"], False),
        (["a", "b", "a"], [], True),
    ],
)
def test_agent_is_distrusted_after_failures_that_others_do_not_share(
    failing: list[str], done_by_others: list[str], result: bool
) -> None:
    assert distrusted(failing, limit=3, done_by_others=done_by_others) is result


@pytest.mark.parametrize(
    ("failed_on", "others", "result"),
    [
        ([], ["x", "y"], True),
        (["x"], ["x", "y"], True),
        (["x", "x"], ["x", "y"], False),
        (["x", "x"], ["x"], True),
        (["x", "x", "y"], ["x", "y"], True),
        (["y", "y"], ["x", "y"], True),
    ],
)
def test_agent_leaves_the_last_try_to_another(failed_on: list[str], others: list[str], result: bool) -> None:
    assert may_try(failed_on, "x", others=others, max_attempts=3) is result
