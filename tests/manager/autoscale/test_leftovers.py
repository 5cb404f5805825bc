"""Machines whose provider or region was taken out of the settings: named, paid for, ended where that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.errors import Conflict, FarmError, NotFound
from blendnet.manager.autoscale.leftovers import Leftovers, current_place, leftovers, whereabouts
from blendnet.manager.doctor import Doctor
from blendnet.messages import Health
from blendnet.provision.base import Offer, Place, Price, Provider, Wanted
from tests.manager.autoscale.cloud import Cloud
from tests.manager.farms import Kit, make_kit

OFFER = Offer("small", "z1", True)
EAST = ("cloud", "east")
USD_PER_HOUR = 0.1


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A farm that had a fleet in the east of a cloud, with a machine in it."""
    made = make_kit(tmp_path / "farm")
    made.farm.instances.of(*EAST).use("east", {"project": "mine"}, made.now)
    yield made
    made.farm.ledger.close()


@pytest.fixture
def cloud(kit: Kit) -> Cloud:
    """The cloud's east, with a machine that the farm has asked for."""
    cloud, book = Cloud(kit.now), kit.farm.instances.of(*EAST)
    price = Price("small", "z1", spot=True, usd_per_hour=USD_PER_HOUR, source="live", at=kit.now)
    book.intend(["agent-1"], [OFFER], price, now=kit.now)
    book.note_created(cloud.create(Wanted(names=["agent-1"], offers=[OFFER])).instances, kit.now)
    return cloud


def left(kit: Kit, cloud: Cloud | FarmError, current: tuple[str, str] | None = None) -> Leftovers:
    """Who looks after them in a Manager that starts with other settings."""
    opened: list[tuple[str, Place]] = []

    def opener(name: str, place: Place) -> Provider:
        opened.append((name, place))
        if isinstance(cloud, FarmError):
            raise cloud
        return cloud

    made = Leftovers(
        kit.farm, "farm", current, lambda name, now: shut.append(name), poll_s=1.0, opener=opener,
        clock=lambda: kit.now,
    )  # fmt: skip
    made.opened, made.shut = opened, (shut := [])  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("current", [None, ("cloud", "west"), ("local", "")])
def test_they_are_ended_in_the_place_that_is_remembered(
    kit: Kit, cloud: Cloud, current: tuple[str, str] | None
) -> None:
    made = left(kit, cloud, current)
    assert made.look()
    assert made.opened == [("cloud", Place("farm", "east", {"project": "mine"}))]
    assert cloud.running() == []
    assert not made.look()
    assert made.shut == ["agent-1"]
    assert made.found == []


def test_machines_of_the_current_place_are_left_alone(kit: Kit, cloud: Cloud) -> None:
    made = left(kit, cloud, EAST)
    assert not made.look()
    assert cloud.running() == ["agent-1"]


def test_they_cost_money_until_their_end_is_confirmed(kit: Kit, cloud: Cloud) -> None:
    made = left(kit, FarmError("no credentials for cloud: set CLOUD_TOKEN"))
    kit.later(3600)
    assert made.look()
    assert kit.farm.cost_in_all(kit.now) == pytest.approx(USD_PER_HOUR)
    (one,) = made.found
    assert "agent-1" in one.text
    assert "set CLOUD_TOKEN" in one.text
    assert one.help == (
        "BLENDNET_FLEET_PROVIDER=cloud BLENDNET_CLOUD_REGION=east BLENDNET_CLOUD_OPTIONS='project=mine' blendnet up"
    )


def test_machines_that_nobody_can_ask_any_more_are_forgotten_with_a_note(kit: Kit, cloud: Cloud) -> None:
    made = left(kit, FarmError("no credentials for cloud: set CLOUD_TOKEN"))
    made.look()
    kit.later(3600)
    assert [row.name for row in made.forget(*EAST, kit.now)] == ["agent-1"]
    kit.later(36_000)
    assert kit.farm.cost_in_all(kit.now) == pytest.approx(USD_PER_HOUR), "what was counted stays"
    assert (made.found, made.look(), made.shut) == ([], False, ["agent-1"])  # type: ignore[attr-defined]
    with kit.farm.ledger.read() as tx:
        (row,) = tx.instances.all()
    assert row.reason == (
        "forgotten by a person: if it ran on, $0.10 an hour is not counted (no credentials for cloud: set CLOUD_TOKEN)"
    )
    with pytest.raises(NotFound, match="no machines of cloud in east are left over"):
        made.forget(*EAST, kit.now)


def test_machines_that_can_be_ended_are_not_forgotten(kit: Kit, cloud: Cloud) -> None:
    made = left(kit, cloud)
    with pytest.raises(Conflict, match="can be ended, and are"):
        made.forget(*EAST, kit.now)
    assert cloud.destroyed == ["agent-1"]
    assert not made.look()
    assert cloud.running() == []


def test_the_place_is_asked_once_more_before_its_machines_are_forgotten(kit: Kit, cloud: Cloud) -> None:
    made = left(kit, cloud)
    cloud.broken["list"] = FarmError("no credentials")
    made.look()
    assert made.found[0].trouble == "no credentials"
    cloud.broken.clear()
    with pytest.raises(Conflict, match="can be ended, and are"):
        made.forget(*EAST, kit.now)
    assert cloud.running() == []
    assert made.shut == [], "its end is confirmed by the next look"  # type: ignore[attr-defined]
    assert not made.look()


def test_machines_that_a_cloud_shows_and_does_not_end_are_forgotten_with_its_words_of_now(
    kit: Kit, cloud: Cloud
) -> None:
    made = left(kit, cloud)
    cloud.broken["destroy"] = FarmError("no permission to end machines")
    assert [row.name for row in made.forget(*EAST, kit.now)] == ["agent-1"]
    with kit.farm.ledger.read() as tx:
        (row,) = tx.instances.all()
    assert "no permission to end machines" in row.reason


def test_a_forgotten_machine_that_turns_up_again_is_counted_again(kit: Kit, cloud: Cloud) -> None:
    made = left(kit, FarmError("no credentials"))
    made.look()
    made.forget(*EAST, kit.now)
    kit.farm.instances.of(*EAST).note_listing(cloud.list(), kit.later(3600))
    with kit.farm.ledger.read() as tx:
        assert [row.name for row in tx.instances.living()] == ["agent-1"]


def test_a_cloud_that_does_not_answer_is_asked_again(kit: Kit, cloud: Cloud) -> None:
    made = left(kit, cloud)
    cloud.broken["list"] = ConnectionError("no route")
    assert made.look()
    assert made.found[0].trouble == "ConnectionError: no route"
    cloud.broken.clear()
    made.look()
    assert cloud.running() == []


def test_one_that_the_cloud_has_ended_meanwhile_is_noticed(kit: Kit, cloud: Cloud) -> None:
    cloud.take_back("agent-1")
    assert not left(kit, cloud).look()
    assert cloud.destroyed == []


def test_another_region_of_the_same_cloud_does_not_declare_them_gone(kit: Kit, cloud: Cloud) -> None:
    kit.later(3600)
    kit.farm.instances.of("cloud", "west").note_listing([], kit.now)
    with kit.farm.ledger.read() as tx:
        assert [row.name for row in tx.instances.living()] == ["agent-1"]


def test_machines_of_before_places_were_written_down_are_where_the_fleet_works(kit: Kit) -> None:
    kit.farm.instances.of("cloud").intend(["agent-9"], [OFFER], None, now=kit.now)
    kit.farm.instances.of("cloud", "west").use("west", {}, kit.now + 1)
    assert [row.name for row in kit.farm.instances.of("cloud", "west").living()] == ["agent-9"]
    with kit.farm.ledger.read() as tx:
        assert current_place(tx, "cloud") == ("cloud", "west")
        assert current_place(tx, "") is None
        assert leftovers(tx, ("cloud", "west")) == []


def test_the_doctor_names_them_with_the_command(kit: Kit, cloud: Cloud) -> None:
    def machines() -> tuple[Health, str]:
        report = Doctor(kit.farm, queued=None).examine(kit.now, repair=False)
        return next((check.state, check.text) for check in report.checks if check.name == "machines")

    state, text = machines()
    assert state is Health.PROBLEM
    assert "agent-1" in text
    assert "BLENDNET_CLOUD_REGION=east" in text
    left(kit, cloud).look()
    left(kit, cloud).look()
    assert machines()[0] is Health.OK


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (Place("farm", "east"), "east"),
        (Place("farm", "east", {"image": "debian"}), "east"),
        (Place("farm", "east", {"project": "mine", "image": "debian"}), "mine east"),
        (Place("farm"), ""),
    ],
)
def test_a_place_is_a_region_of_an_account(place: Place, name: str) -> None:
    assert whereabouts(Cloud(0.0), place) == name


def test_a_manager_that_starts_says_so_and_its_thread_ends_with_the_last_machine(
    kit: Kit, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    made = left(kit, cloud)
    made._poll_s = 0.01
    made.start()
    made._thread.join(10)
    assert not made._thread.is_alive()
    assert cloud.running() == []
    assert "agent-1" in caplog.text
    made.stop()
