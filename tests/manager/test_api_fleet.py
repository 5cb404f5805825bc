"""The fleet over HTTPS: what there is and why, and going on after a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.errors import Conflict
from blendnet.manager.autoscale.leftovers import Leftovers
from blendnet.provision.base import Quota, Shortage
from tests.manager.autoscale.loops import Fleet, make_fleet
from tests.manager.served import Served, serve


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("served") / "farm") as farm:
        yield farm


@pytest.fixture
def fleet(served: Served, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet that the served farm shows."""
    made = make_fleet(tmp_path)
    served.fleet.loop = made.loop
    yield made
    served.fleet.loop = None
    made.kit.farm.ledger.close()


def test_a_farm_without_a_fleet_says_so(served: Served) -> None:
    with served.owner() as owner:
        assert owner.fleet().provider == ""
        with pytest.raises(Conflict, match="BLENDNET_FLEET_PROVIDER"):
            owner.fleet_go_on()


def test_machines_and_reasons_are_shown(served: Served, fleet: Fleet) -> None:
    with served.owner() as owner:
        before = owner.fleet()
        assert (before.provider, before.decided_at, before.machines) == ("cloud", None, [])
        fleet.kit.submit([1])
        fleet.tick()
        fleet.join("agent-1")
        view = owner.fleet()
    assert view.decided_at == fleet.kit.now
    (machine,) = view.machines
    assert (machine.name, machine.state, machine.machine, machine.zone) == ("agent-1", "starting", "small", "z1")
    assert (machine.spot, machine.usd_per_hour, machine.joined_at) == (True, 0.1, fleet.kit.now)
    assert "nothing is measured yet" in view.explain[0]


def test_machines_are_asked_for_again_when_somebody_has_looked(served: Served, fleet: Fleet) -> None:
    fleet.cloud.shortages = {"small": Shortage.REFUSED, "large": Shortage.REFUSED}
    fleet.kit.submit([1])
    fleet.ticks(20.0)
    fleet.cloud.shortages.clear()
    with served.owner() as owner:
        assert "no small: refused" in owner.fleet().stopped
        owner.fleet_go_on()
        fleet.tick(1.0)
        assert owner.fleet().stopped == ""
    assert fleet.cloud.running() == ["agent-1"]


def test_a_quota_that_holds_the_farm_back_is_shown_with_what_mends_it(served: Served, fleet: Fleet) -> None:
    page = "https://cloud.example/quotas"
    fleet.cloud.limits = [Quota("machines", 1, used=1, takes=lambda type_, spot: 1.0, help=page), Quota("disks", None)]
    fleet.kit.submit([1])
    fleet.tick()
    with served.owner() as owner:
        view = owner.fleet()
    assert fleet.cloud.running() == []
    held, free = view.quotas
    assert (held.name, held.limit, held.used, held.holds, held.help) == ("machines", 1.0, 1.0, True, page)
    assert (free.name, free.limit, free.used, free.holds) == ("disks", None, None, False)
    assert any("quota machines holds the farm back" in line and page in line for line in view.explain)


def test_machines_of_a_place_that_the_settings_do_not_name_are_shown(served: Served) -> None:
    book = served.farm.instances.of("cloud", "east")
    book.use("east", {}, 1.0)
    book.intend(["agent-7"], [], None, now=2.0)
    served.fleet.leftovers = Leftovers(served.farm, "farm", None, lambda name, now: None, poll_s=1.0)
    served.fleet.leftovers.look()
    with served.owner() as owner:
        (left,) = owner.fleet().leftovers
    book.ended("agent-7", 3.0)
    served.fleet.leftovers = None
    assert (left.provider, left.place, left.machines) == ("cloud", "east", ["agent-7"])
    assert left.help == "BLENDNET_FLEET_PROVIDER=cloud BLENDNET_CLOUD_REGION=east blendnet up"
    assert "there is no provider 'cloud'" in left.trouble
    assert "they cannot be ended" in left.text


def test_what_went_wrong_is_shown(served: Served, fleet: Fleet) -> None:
    fleet.cloud.broken["list"] = ConnectionError("no route")
    fleet.tick()
    with served.owner() as owner:
        assert owner.fleet().trouble == "ConnectionError: no route"


def test_agents_may_not_look_at_the_fleet(served: Served) -> None:
    with served.http("agent") as agent:
        assert agent.get("/v1/fleet").status_code == 403
        assert agent.post("/v1/fleet/go-on").status_code == 403
