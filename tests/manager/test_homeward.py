"""Caps keep money back for bringing results home: of those that are there, and of those that are being made."""

from __future__ import annotations

import pytest

from blendnet.errors import CapReached
from blendnet.manager.autoscale.memory import Memory
from blendnet.manager.autoscale.view import Times, situation_of
from blendnet.manager.egress import GB
from blendnet.manager.homeward import LAYER_BYTES_PER_PIXEL, PICTURE_BYTES_PER_PIXEL
from blendnet.messages import AgentReport, Blob, JobView
from blendnet.models import State
from blendnet.provision.base import Offer, Price
from tests.manager.farms import Kit
from tests.manager.paid import FILE, TINY, Make, another_manager, egress, make, money, results, send

__all__ = ["make"]  # A fixture.

ASSUMED_BYTES = PICTURE_BYTES_PER_PIXEL + LAYER_BYTES_PER_PIXEL


def one_done_and_one_begun(kit: Kit) -> JobView:
    """A job with a frame that is finished and one that an agent of a dollar a second works on."""
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    job = kit.submit([1, 2], samples=1, scene=TINY)
    frame = kit.render_frame(job)
    kit.merge(frame)
    kit.finish(frame)
    kit.claim(kit.chunk_ids(job, 1)[0])
    return job


def test_jobs_are_paused_while_the_money_still_brings_home_all_they_made(make: Make) -> None:
    kit = make(cap_farm_usd=200.0)
    job = kit.submit(list(range(1, 51)), samples=1, scene=TINY)
    for position in range(50):
        frame = kit.render_frame(job, position)
        kit.farm.look(kit.later(1))
        if kit.farm.job(job.id).state is State.PAUSED:
            break
        kit.merge(frame)
        kit.finish(frame)
        kit.farm.look(kit.later(1))
    view = kit.farm.job(job.id)
    assert (view.state, view.frames_completed > 3) == (State.PAUSED, True)
    assert "$0.00 spent, $" in view.message
    assert "kept back to bring results home. Raise it and go on with `blendnet costs --cap-farm 400`" in view.message
    with pytest.raises(CapReached):
        kit.farm.begin_sending(FILE, 50, kit.now)  # Of something else: that money is not there for it.
    files = results(kit, job)
    for blob in files:
        send(kit, blob)
        kit.farm.look(kit.later(1))
    assert egress(kit) == sum(blob.size_bytes for blob in files) <= 200
    assert sum(blob.size_bytes for blob in files) > 200 - 2 * ASSUMED_BYTES, "most of the cap was used"
    assert money(kit).home.there_usd == 0


def test_money_is_kept_back_for_frames_under_way_as_large_as_those_of_their_job(make: Make) -> None:
    kit = make(cap_farm_usd=1e6)
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    job = kit.submit([1, 2, 3], samples=1, scene=TINY)
    assert money(kit).home.coming_usd == 0
    first = kit.render_frame(job, 0)
    assert money(kit).home.coming_usd == ASSUMED_BYTES
    kit.merge(first)
    kit.finish(first)
    there = sum(blob.size_bytes for blob in results(kit, job))
    assert money(kit).home.there_usd == there
    assert money(kit).home.coming_usd == 0
    kit.claim(kit.chunk_ids(job, 1)[0])
    assert money(kit).home.coming_usd == there
    with kit.farm.ledger.write() as tx:
        tx.frames.update(tx.frames.need(kit.frame(job, 2)), state=State.QUEUED)
    assert money(kit).home.coming_usd == 2 * there, "the only agent may begin it before the next look"
    kit.farm.pause(job.id, kit.now)
    assert money(kit).home.coming_usd == 0


def test_money_is_kept_back_until_a_file_was_sent_whole(make: Make) -> None:
    kit = make(cap_farm_usd=1e6)
    job = kit.submit([1], scene=TINY)
    kit.complete(job)
    picture, merged = results(kit, job)
    both = picture.size_bytes + merged.size_bytes
    passage = kit.farm.begin_sending(picture.sha256, picture.size_bytes, kit.now)
    assert money(kit).home.there_usd == merged.size_bytes, "it is on the bill already"
    passage.sent(2)
    passage.end()
    kit.farm.look(kit.later(1))
    assert money(kit).home.there_usd == both
    rest = kit.farm.begin_sending(picture.sha256, picture.size_bytes - 2, kit.now)
    rest.sent(picture.size_bytes - 2)
    rest.end()
    kit.farm.look(kit.later(1))
    assert money(kit).home.there_usd == merged.size_bytes
    another_manager(kit)
    assert money(kit).home.there_usd == merged.size_bytes


def test_nothing_is_kept_back_for_what_nobody_fetches(make: Make) -> None:
    kit = make(cap_farm_usd=1e6, cap_results_s=3600.0)
    kit.complete(kit.submit([1], scene=TINY))
    removed = kit.submit([1], scene=TINY)
    kit.complete(removed)
    both = money(kit).home.there_usd
    kit.farm.remove(removed.id)
    assert 0 < money(kit).home.there_usd < both
    kit.later(3601)
    assert money(kit).home.there_usd == 0


def test_results_come_home_at_the_cap_where_machines_cost_money_too(make: Make) -> None:
    kit = make(cap_farm_usd=500.0, agent_usd_per_hour=3600.0)
    job = one_done_and_one_begun(kit)
    while kit.farm.job(job.id).state is not State.PAUSED:
        kit.farm.look(kit.later(3))
    files = results(kit, job)
    for blob in files:
        send(kit, blob)
    for _ in range(100):
        kit.farm.look(kit.later(1))
        with kit.farm.ledger.read() as tx:
            if not tx.chunks.active():
                break
    kit.farm.report("agent1", AgentReport(pid=1, state="stopped"), kit.now)
    kit.farm.look(kit.later(1))
    assert egress(kit) == sum(blob.size_bytes for blob in files)
    assert money(kit).spent_usd <= 500.0


def test_work_is_cut_off_before_it_takes_the_money_for_results(make: Make) -> None:
    kit = make(cap_farm_usd=500.0, agent_usd_per_hour=3600.0)
    one_done_and_one_begun(kit)
    for _ in range(600):
        kit.farm.look(kit.later(1))
        with kit.farm.ledger.read() as tx:
            if not tx.chunks.active():
                break
    assert 0 < money(kit).home.there_usd <= 500.0 - money(kit).spent_usd


def test_what_agents_in_clouds_still_send_is_kept_back_too(make: Make) -> None:
    """The Manager is the owner's: what it sends costs nothing, what is sent to it does."""
    kit = make(cap_farm_usd=1e6, egress_usd_per_gb=None, estimate_egress_usd_per_gb=GB)
    offer = Offer("small", "a", True)
    price = {offer: Price("small", "a", True, 0.0, "live", kit.now)}
    kit.farm.instances.of("aws").intend(["agent1"], [offer], price, now=kit.now)
    job = kit.submit([1], samples=2, scene=TINY)
    (chunk,) = kit.chunk_ids(job)
    assert money(kit).home.coming_usd == 0
    claim = kit.claim(chunk)
    assert money(kit).home.coming_usd == LAYER_BYTES_PER_PIXEL
    kit.farm.commit(chunk, claim.token, 0, 1, kit.blob(b"a segment"), kit.now)
    assert money(kit).home.coming_usd == len(b"a segment")


def test_the_manager_has_money_to_wait_for_work_and_to_stop(make: Make) -> None:
    kit = make(cap_farm_usd=2000.0, manager_usd_per_hour=3600.0, manager_idle_s=600.0, egress_usd_per_gb=0.0)
    job = kit.submit([1])
    while kit.farm.job(job.id).state is not State.PAUSED:
        kit.farm.look(kit.later(1))
    assert "kept back until the Manager has stopped" in kit.farm.job(job.id).message
    kit.farm.close_books(kit.later(600))
    assert 1900 < money(kit).spent_usd <= 2000


def test_a_manager_that_never_stops_keeps_nothing_back_for_that(make: Make) -> None:
    kit = make(cap_farm_usd=2000.0, manager_usd_per_hour=3600.0)
    assert money(kit).committed_usd == 0


def test_what_a_look_found_too_late_keeps_no_result_on_the_farm(make: Make) -> None:
    kit = make(cap_farm_usd=500.0, agent_usd_per_hour=3600.0)
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    job = kit.submit([1], samples=1, scene=TINY)
    kit.complete(job)
    kit.farm.look(kit.later(money(kit).left_usd + 4))
    assert money(kit).left_usd == pytest.approx(-4)
    for blob in results(kit, job):
        send(kit, blob)


def test_results_come_home_while_the_manager_waits_and_stops(make: Make) -> None:
    kit = make(cap_farm_usd=2000.0, manager_usd_per_hour=3600.0, manager_idle_s=600.0)
    done, job = kit.submit([1], samples=1, scene=TINY), kit.submit([1])
    kit.complete(done)
    while kit.farm.job(job.id).state is not State.PAUSED:
        kit.farm.look(kit.later(1))
    kit.farm.look(kit.later(500))
    for blob in results(kit, done):
        send(kit, blob)
    kit.farm.close_books(kit.later(100))
    assert money(kit).spent_usd <= 2000


def test_results_of_the_same_content_come_home_one_by_one(make: Make) -> None:
    kit = make(cap_farm_usd=15.0)
    jobs = [kit.submit([number], scene=TINY) for number in (1, 2, 3)]
    blob = kit.blob(b"black")
    with kit.farm.ledger.write() as tx:
        tx.blobs.note([blob], kit.now)
        for job in jobs:
            tx.results.put(job.id, kind="image", path="a.png", blob=blob)
    assert money(kit).home.there_usd == pytest.approx(15)
    first = kit.farm.begin_sending(blob.sha256, 5, kit.now)
    assert money(kit).home.there_usd == 10
    send(kit, blob)
    first.sent(5)
    first.end()
    kit.farm.look(kit.later(1))
    assert money(kit).home.there_usd == 5
    send(kit, blob)
    kit.farm.look(kit.later(1))
    assert (egress(kit), money(kit).home.there_usd) == (15, 0)


def test_a_result_that_is_made_again_as_it_was_is_not_awaited(make: Make) -> None:
    kit = make(cap_farm_usd=1e6)
    job = kit.submit([1], scene=TINY)
    kit.complete(job)
    _, picture = kit.farm.results(job.id)
    blob = Blob(sha256=picture.sha256, size_bytes=picture.size_bytes)
    send(kit, blob)
    kit.farm.look(kit.later(1))
    before = money(kit).home.there_usd
    for again, more in ((blob, 0), (kit.blob(b"another"), len(b"another"))):
        with kit.farm.ledger.write() as tx:
            tx.blobs.note([again], kit.now)
            tx.results.put(job.id, kind=picture.kind, path=picture.path, blob=again)
        assert money(kit).home.there_usd == before + more


def test_the_fleets_decision_keeps_it_back_too(make: Make) -> None:
    kit = make(cap_farm_usd=2000.0, manager_usd_per_hour=3600.0, manager_idle_s=600.0)
    kit.complete(kit.submit([1], samples=1, scene=TINY))
    (cap,) = situation_of(kit.farm, [], [], Memory(), Times(boot_s=60, end_delay_s=60), kit.now).caps
    found = money(kit)
    assert found.manager_usd > 600
    assert found.home.there_usd > 0
    assert cap.spent_usd == pytest.approx(found.spent_usd + found.manager_usd + found.home.there_usd)
