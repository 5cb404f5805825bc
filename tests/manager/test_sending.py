"""What goes to owners costs money: it is on the bill before its first byte, and caps keep it back for results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from blendnet.errors import CapReached
from blendnet.manager.autoscale.memory import Memory
from blendnet.manager.autoscale.view import Times, situation_of
from blendnet.manager.days import day_bounds, day_of
from blendnet.manager.egress import GB, Passage
from blendnet.manager.farm_money import Money
from blendnet.manager.homeward import LAYER_BYTES_PER_PIXEL, PICTURE_BYTES_PER_PIXEL
from blendnet.manager.jobs import Farm
from blendnet.manager.ledger.meters import EGRESS
from blendnet.messages import AgentReport, Blob, JobView
from blendnet.models import State
from blendnet.provision.base import Offer, Price
from tests.manager.farms import Kit, make_kit

FILE = "f" * 64
A_DOLLAR_A_BYTE = {"egress_usd_per_gb": GB}
TINY = {"width": 1, "height": 1}
"""A picture that is assumed to have 20 bytes with its layer."""
ASSUMED_BYTES = PICTURE_BYTES_PER_PIXEL + LAYER_BYTES_PER_PIXEL

Make = Callable[..., Kit]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A farm on which each byte that goes home costs a dollar, unless settings say otherwise."""
    made: list[Kit] = []

    def make(**settings: Any) -> Kit:
        made.append(make_kit(tmp_path / f"farm{len(made)}", **{**A_DOLLAR_A_BYTE, **settings}))
        made[-1].farm.look(made[-1].now)
        return made[-1]

    yield make
    for kit in made:
        kit.farm.ledger.close()


def egress(kit: Kit, day: str | None = None) -> float:
    """Bytes on the bill."""
    with kit.farm.ledger.read() as tx:
        return tx.meters.total(EGRESS, day)[0]


def money(kit: Kit) -> Money:
    with kit.farm.ledger.read() as tx:
        return kit.farm.farm_money(tx, kit.now)[0]


def send(kit: Kit, blob: Blob, sent_bytes: int | None = None) -> None:
    """Send a file as the API does, or what comes of it before the line is cut."""
    passage = kit.farm.begin_sending(blob.sha256, blob.size_bytes, kit.now)
    passage.sent(blob.size_bytes if sent_bytes is None else sent_bytes)
    passage.end()


def results(kit: Kit, job: JobView) -> list[Blob]:
    return [Blob(sha256=one.sha256, size_bytes=one.size_bytes) for one in kit.farm.results(job.id)]


def another_manager(kit: Kit) -> None:
    """The Manager is killed, and another one goes on with its ledger."""
    kit.farm = Farm(kit.farm.ledger, kit.farm.store, kit.farm.settings)
    kit.farm.open_books()
    kit.farm.look(kit.later(1))


@contextmanager
def nothing_written(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within the block nobody asks the ledger for anything."""
    with monkeypatch.context() as patch:
        for call in ("read", "write"):
            patch.setattr(kit.farm.ledger, call, lambda: pytest.fail("the ledger is asked"))
        yield


@pytest.mark.parametrize("price", [{"egress_usd_per_gb": 0.0}, {"egress_usd_per_gb": None}])
def test_what_costs_nothing_goes_without_a_question(
    make: Make, price: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = make(cap_farm_usd=0.01, **price)
    with nothing_written(kit, monkeypatch):
        passage = kit.farm.begin_sending(FILE, 1 << 40, kit.now)
        passage.sent(7)
        passage.end()
    kit.farm.look(kit.later(1))
    assert (egress(kit), money(kit).spent_usd) == (7, 0.0)


@pytest.mark.parametrize("cap", ["day", "farm"])
def test_a_file_that_would_pass_a_cap_is_refused_with_what_helps_and_counts_nothing(make: Make, cap: str) -> None:
    kit = make(**{f"cap_{cap}_usd": 100.0})
    with pytest.raises(CapReached) as refused:
        kit.farm.begin_sending(FILE, 101, kit.now)
    error = refused.value
    assert (error.status, error.details["cap"], error.details["file_usd"]) == (402, cap, 101.0)
    words = "a day" if cap == "day" else "for the farm"
    assert f"the cap of $100.00 {words} leaves no room for fetching this file, which takes $101.00" in str(error)
    assert f"`blendnet costs --cap-{cap} {error.details['enough_usd']:g}`" in str(error)
    assert ("midnight" in str(error)) is (cap == "day")
    assert (egress(kit), kit.farm.passages.files()) == (0, {})
    kit.farm.set_farm_caps(kit.now, **{f"{cap}_usd": error.details["enough_usd"]})
    assert kit.farm.begin_sending(FILE, 101, kit.now)


def test_no_two_files_go_out_on_the_same_money(make: Make) -> None:
    kit, together = make(cap_farm_usd=100.0), threading.Barrier(8)

    def ask(number: int) -> Passage | None:
        together.wait()
        try:
            return kit.farm.begin_sending(f"{number}" * 64, 30, kit.now)
        except CapReached:
            return None

    with ThreadPoolExecutor(8) as pool:
        passages = list(pool.map(ask, range(8)))
    assert sum(passage is not None for passage in passages) == 3
    assert egress(kit) == 90


def test_what_was_not_sent_is_given_back(make: Make) -> None:
    kit = make(cap_farm_usd=100.0)
    blob = Blob(sha256=FILE, size_bytes=80)
    send(kit, blob, 30)
    send(kit, Blob(sha256="a" * 64, size_bytes=70))  # At once: nobody has looked since.
    kit.farm.look(kit.later(1))
    assert (egress(kit), kit.farm.passages.files()) == (100, {})
    with pytest.raises(CapReached):
        kit.farm.begin_sending(FILE, 1, kit.now)


def test_it_is_given_back_to_the_day_that_has_paid(make: Make) -> None:
    kit = make(cap_day_usd=100.0)
    first = day_of(kit.now)
    kit.later(day_bounds(first)[1] - kit.now - 10)
    passage = kit.farm.begin_sending(FILE, 80, kit.now)
    passage.sent(30)
    kit.farm.look(kit.later(20))
    passage.end()
    kit.farm.look(kit.later(1))
    assert day_of(kit.now) != first
    assert (egress(kit, first), egress(kit, day_of(kit.now))) == (30, 0)
    with pytest.raises(CapReached):
        kit.farm.begin_sending(FILE, 101, kit.now)


def test_a_manager_that_dies_leaves_the_file_on_the_bill_and_nothing_else(make: Make) -> None:
    kit = make(cap_farm_usd=100.0)
    kit.farm.begin_sending(FILE, 80, kit.now).sent(30)
    another_manager(kit)
    assert egress(kit) == 80, "nobody knows how much of it was sent"
    send(kit, Blob(sha256=FILE, size_bytes=20))
    with pytest.raises(CapReached):
        kit.farm.begin_sending(FILE, 1, kit.now)


def test_an_end_that_could_not_be_written_is_written_later(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = make()
    send(kit, Blob(sha256=FILE, size_bytes=80), 30)
    with monkeypatch.context() as patch:
        patch.setattr(kit.farm, "_count_itself", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
        with pytest.raises(OSError, match="full"):
            kit.farm.look(kit.later(5))
    assert egress(kit) == 80
    kit.farm.look(kit.later(5))
    assert egress(kit) == 30


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


def test_a_part_without_the_end_brings_nothing_home(make: Make) -> None:
    kit = make(cap_farm_usd=1e6)
    job = kit.submit([1], scene=TINY)
    kit.complete(job)
    before, blob = money(kit).home.there_usd, results(kit, job)[0]
    passage = kit.farm.begin_sending(blob.sha256, 2, kit.now, to_end=False)
    passage.sent(2)
    passage.end()
    kit.farm.look(kit.later(1))
    assert money(kit).home.there_usd == before


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
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    job = kit.submit([1, 2], samples=1, scene=TINY)
    frame = kit.render_frame(job)
    kit.merge(frame)
    kit.finish(frame)
    kit.claim(kit.chunk_ids(job, 1)[0])
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
    kit.farm.report("agent1", AgentReport(pid=1), kit.now)
    job = kit.submit([1, 2], samples=1, scene=TINY)
    frame = kit.render_frame(job)
    kit.merge(frame)
    kit.finish(frame)
    kit.claim(kit.chunk_ids(job, 1)[0])
    for _ in range(600):
        kit.farm.look(kit.later(1))
        with kit.farm.ledger.read() as tx:
            if not tx.chunks.active():
                break
    assert 0 < money(kit).home.there_usd <= 500.0 - money(kit).spent_usd


def test_an_address_counts_as_sent_and_is_refused_like_a_file(make: Make) -> None:
    kit = make(cap_farm_usd=100.0)
    job = kit.submit([1], scene=TINY)
    kit.complete(job)
    picture = results(kit, job)[0]
    before = money(kit).home.there_usd
    kit.farm.give_address(picture.sha256, picture.size_bytes, kit.now)
    kit.farm.look(kit.later(1))
    assert (egress(kit), money(kit).home.there_usd) == (picture.size_bytes, before - picture.size_bytes)
    with pytest.raises(CapReached):
        kit.farm.give_address(FILE, 100, kit.now)
    assert egress(kit) == picture.size_bytes


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


def test_money_is_kept_back_for_one_download_and_not_for_a_second_one_meanwhile(make: Make) -> None:
    kit = make(cap_farm_usd=14.0)
    job = kit.submit([1], samples=1, scene=TINY)
    kit.complete(job)
    merged, picture = results(kit, job)
    assert (merged.size_bytes, picture.size_bytes) == (5, 5)
    kit.farm.begin_sending(picture.sha256, 5, kit.now)
    with pytest.raises(CapReached):
        kit.farm.begin_sending(picture.sha256, 5, kit.now)
    assert kit.farm.begin_sending(merged.sha256, 5, kit.now)


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
