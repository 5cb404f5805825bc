"""The book of machines: nothing that may cost money is unaccounted, whenever the Manager dies."""

from __future__ import annotations

import pytest

from blendnet.manager.instances import NEVER, SETTLED_S, UNLISTED, InstanceBook
from blendnet.manager.ledger import InstanceRow
from blendnet.manager.work_book import WorkBook
from blendnet.messages import AgentReport
from blendnet.provision.base import Instance, InstanceState, Offer, Price
from tests.manager.farms import Kit

CHEAP, DEAR = Offer("small", "a", True), Offer("large", "b", True)
PRICES = {
    CHEAP: Price("small", "a", True, 0.1, "live", 5.0),
    DEAR: Price("large", "b", True, 0.4, "live", 5.0),
}


def rows(kit: Kit) -> list[InstanceRow]:
    with kit.farm.ledger.read() as tx:
        return tx.instances.all()


def book_of(kit: Kit) -> InstanceBook:
    return kit.farm.instances.of("aws")


def intend(kit: Kit, *names: str) -> InstanceBook:
    book = book_of(kit)
    book.intend(names, [CHEAP, DEAR], PRICES, token="t1", now=kit.now)
    return book


def cloud(name: str, id_: str, **values: object) -> Instance:
    return Instance(name, **{"id": id_, "machine": "small", "zone": "a", "spot": True, **values})  # type: ignore[arg-type]


def test_a_machine_counts_with_the_highest_price_until_it_is_known_what_came(any_kit: Kit) -> None:
    book = intend(any_kit, "agent-1")
    assert [(row.state, row.usd_per_hour, row.token) for row in rows(any_kit)] == [("asked", 0.4, "t1")]
    book.note_created([cloud("agent-1", "i-1", launched_at=any_kit.now + 1)], any_kit.later(2))
    (row,) = rows(any_kit)
    assert (row.provider_id, row.machine, row.usd_per_hour, row.price_source) == ("i-1", "small", 0.1, "live")
    assert row.launched_at == any_kit.now - 1


def test_a_machine_in_a_zone_that_the_cloud_chose_has_the_price_of_its_own_type(kit: Kit) -> None:
    anywhere = {
        Offer("small", "", True): Price("small", "", True, 0.1, "live", 5.0),
        Offer("small", "", False): Price("small", "", False, 0.3, "live", 5.0),
        Offer("large", "", True): Price("large", "", True, 0.4, "live", 5.0),
        Offer("large", "b", True): Price("large", "b", True, 0.2, "live", 5.0),
    }
    book, names = book_of(kit), ["agent-1", "agent-2", "agent-3", "agent-4"]
    book.intend(names, list(anywhere), anywhere, now=kit.now)
    book.note_created([cloud("agent-1", "i-1"), cloud("agent-2", "i-2", spot=False)], kit.now)
    there = {"machine": "large"}
    book.note_created([cloud("agent-3", "i-3", **there), cloud("agent-4", "i-4", zone="b", **there)], kit.now)
    assert {row.name: row.usd_per_hour for row in rows(kit)} == dict(zip(names, [0.1, 0.3, 0.4, 0.2], strict=True))


def test_a_crash_after_asking_leaves_a_row_that_the_next_manager_settles(any_kit: Kit) -> None:
    intend(any_kit, "agent-1", "agent-2")
    after = InstanceBook(any_kit.farm.ledger, WorkBook(), "aws")
    after.note_listing([cloud("agent-1", "i-1")], any_kit.later(SETTLED_S + 1))
    found = {row.name: row for row in rows(any_kit)}
    assert (found["agent-1"].launched_at, found["agent-1"].ended_at) == (any_kit.now, None)
    assert (found["agent-2"].launched_at, found["agent-2"].reason) == (None, NEVER)


def test_a_new_machine_may_be_missing_in_a_list_for_a_while(kit: Kit) -> None:
    book = intend(kit, "agent-1")
    book.note_created([cloud("agent-1", "i-1")], kit.now)
    book.note_listing([], kit.later(10))
    assert [row.ended_at for row in rows(kit)] == [None]


def test_machines_are_gone_by_the_providers_word_alone(kit: Kit) -> None:
    book = intend(kit, "agent-1", "agent-2")
    both = [cloud("agent-1", "i-1"), cloud("agent-2", "i-2")]
    book.note_listing(both, kit.later(1))
    book.note_listing([cloud("agent-1", "i-1", state=InstanceState.STOPPING), both[1]], kit.later(1))
    assert [row.ended_at for row in rows(kit)] == [None, None]
    gone = cloud("agent-1", "i-1", state=InstanceState.GONE, ended_at=kit.now - 0.5, reason="spot")
    book.note_listing([gone], kit.later(1))
    assert [(row.ended_at, row.reason) for row in rows(kit)] == [(kit.now - 1.5, "spot"), (kit.now, UNLISTED)]


def test_orphans_are_added_and_told_of_once(kit: Kit) -> None:
    book, lost = book_of(kit), cloud("agent-7", "i-7", launched_at=kit.now - 500)
    assert book.note_listing([lost], kit.now, prices=PRICES) == ["agent-7"]
    assert book.note_listing([lost], kit.later(1)) == []
    (row,) = rows(kit)
    assert (row.launched_at, row.usd_per_hour) == (kit.now - 501, 0.1)


def test_a_second_life_of_the_same_name_is_another_row(kit: Kit) -> None:
    book = intend(kit, "agent-1")
    book.note_listing([cloud("agent-1", "i-1")], kit.now)
    book.ended("agent-1", kit.later(10))
    intend(kit, "agent-1").note_listing([cloud("agent-1", "i-2")], kit.later(5))
    assert [(row.provider_id, row.ended_at is None) for row in rows(kit)] == [("i-1", False), ("i-2", True)]


def test_a_list_of_one_provider_says_nothing_of_anothers_machines(kit: Kit) -> None:
    intend(kit, "agent-1")
    kit.farm.instances.of("gcp").note_listing([], kit.later(SETTLED_S * 2))
    assert [row.ended_at for row in rows(kit)] == [None]


def test_an_agent_that_nobody_asked_for_is_on_a_machine_of_the_users_own(kit: Kit) -> None:
    kit.farm.report("desk", AgentReport(pid=1), kit.now)
    kit.farm.report("desk", AgentReport(pid=1), kit.later(5))
    assert [(row.provider, row.joined_at, row.usd_per_hour) for row in rows(kit)] == [("own", kit.now - 5, None)]
    kit.farm.report("desk", AgentReport(pid=1, state="stopped"), kit.later(5))
    assert [row.ended_at for row in rows(kit)] == [kit.now]


def test_an_agent_that_reports_has_booted(kit: Kit) -> None:
    book = intend(kit, "agent-1")
    book.note_created([cloud("agent-1", "i-1")], kit.now)
    kit.farm.report("agent-1", AgentReport(pid=1), kit.later(40))
    kit.farm.agent_lost("agent-1", kit.later(1))
    assert [(row.joined_at, row.ended_at) for row in rows(kit)] == [(kit.now - 1, None)]


@pytest.mark.parametrize("looked_at", [None, 100.0])
def test_agents_of_a_manager_that_died_ended_with_it(kit: Kit, looked_at: float | None) -> None:
    kit.farm.instances.intend(["agent-1"], [], None, now=kit.now)
    kit.farm.instances.note_listing([Instance("agent-1")], kit.now, settled_s=0)
    if looked_at is not None:
        kit.farm.look(kit.now + looked_at)
    kit.farm.open_books()
    assert [row.ended_at for row in rows(kit)] == [kit.now + (looked_at or 0.0)]


def test_a_machine_whose_zone_the_cloud_chose_has_the_price_of_its_type(kit: Kit) -> None:
    anywhere = Offer("small", "", True)
    prices = {anywhere: Price("small", "", True, 0.1, "live", 5.0), DEAR: PRICES[DEAR]}
    book = book_of(kit)
    book.intend(["agent-1"], [anywhere, DEAR], prices, now=kit.now)
    book.note_created([cloud("agent-1", "i-1")], kit.now)
    assert [(row.zone, row.usd_per_hour) for row in rows(kit)] == [("a", 0.1)]


def test_a_machine_that_is_listed_again_was_never_gone(any_kit: Kit) -> None:
    book = intend(any_kit, "agent-1")
    book.note_listing([cloud("agent-1", "i-1")], any_kit.now)
    book.note_listing([], any_kit.later(10))
    assert [row.ended_at for row in rows(any_kit)] == [any_kit.now]
    assert book.lacks([cloud("agent-1", "i-1")]) == []
    assert book.note_listing([cloud("agent-1", "i-1")], any_kit.later(10)) == []
    assert [(row.ended_at, row.usd_per_hour) for row in rows(any_kit)] == [(None, 0.1)]


def test_a_machine_that_is_gone_is_not_the_next_one_of_its_name(any_kit: Kit) -> None:
    book, gone = intend(any_kit, "agent-1"), cloud("agent-1", "i-1", state=InstanceState.GONE, ended_at=1.0)
    book.note_listing([cloud("agent-1", "i-1")], any_kit.now)
    book.note_listing([gone], any_kit.now)
    intend(any_kit, "agent-1").note_listing([gone], any_kit.later(1))
    assert [(row.provider_id, row.ended_at) for row in rows(any_kit)] == [("i-1", 1.0), ("", None)]


def test_the_next_machine_of_an_agent_that_never_said_good_bye_has_joined(kit: Kit) -> None:
    kit.farm.instances.intend(["agent-1"], [], None, now=kit.now)
    kit.farm.report("agent-1", AgentReport(pid=1), kit.now)
    kit.farm.instances.ended("agent-1", kit.later(1), "killed")
    kit.farm.instances.intend(["agent-1"], [], None, now=kit.now)
    kit.farm.report("agent-1", AgentReport(pid=2), kit.later(5))
    assert [row.joined_at for row in rows(kit)] == [kit.now - 6, kit.now]
    assert kit.farm.instances.taken() == {"agent-1"}
