"""What is billed beside machines: agents' disks and public addresses, and what owners fetch."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.manager.autoscale.memory import Memory
from blendnet.manager.autoscale.view import Times, situation_of
from blendnet.manager.farm_money import DISK_S
from blendnet.manager.jobs import Farm
from blendnet.provision.base import Instance, InstanceState, Offer, Price
from tests.manager.farms import Kit, make_kit

SMALL = Offer("small", "a", True)
BESIDE = {"estimate_disk_gb": 73.0, "estimate_disk_usd_per_gb_month": 10.0, "estimate_address_usd_per_hour": 0.5}
"""A dollar an hour for a machine's disk, half a dollar for its address."""


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return farm(tmp_path)


def farm(folder: Path, **settings: object) -> Kit:
    made = make_kit(folder / "farm", **{**BESIDE, **settings})
    made.farm.look(made.now)
    return made


def launch(kit: Kit, provider: str, usd_per_hour: float = 0.0) -> None:
    price = {SMALL: Price("small", "a", True, usd_per_hour, "live", kit.now)}
    kit.farm.instances.of(provider).intend(["agent-1"], [SMALL], price, now=kit.now)


def end(kit: Kit, provider: str, *, launched_at: float, ended_at: float) -> None:
    gone = Instance(
        "agent-1", InstanceState.GONE, id="i-1", machine="small", zone="a", spot=True,
        launched_at=launched_at, ended_at=ended_at,
    )  # fmt: skip
    kit.farm.instances.of(provider).note_listing([gone], kit.now)


def lines(kit: Kit) -> tuple[float, float]:
    found = kit.farm.costs(kit.now).in_all
    return found.disk_usd, found.address_usd


@pytest.mark.parametrize(("provider", "hours"), [("aws", 0.5), ("gcp", 0.5), ("azure", 0.5), ("scaleway", 1.0)])
def test_disks_and_addresses_of_machines_are_on_the_bill_until_their_end_is_confirmed(
    kit: Kit, provider: str, hours: float
) -> None:
    began = kit.now
    launch(kit, provider)
    kit.farm.look(kit.later(1800))
    assert lines(kit) == (pytest.approx(hours), pytest.approx(hours / 2))
    kit.later(1830)
    end(kit, provider, launched_at=began, ended_at=began + 3600)
    kit.farm.look(kit.now)
    kit.farm.look(kit.later(3600))
    assert lines(kit) == (pytest.approx(1.0), pytest.approx(0.5))
    assert kit.farm.cost_in_all(kit.now) == pytest.approx(1.5)


@pytest.mark.parametrize("provider", ["local", "own", "digitalocean", "linode", "vultr"])
def test_machines_whose_price_has_all_of_it_add_nothing(kit: Kit, provider: str) -> None:
    launch(kit, provider)
    kit.farm.look(kit.later(3600))
    assert lines(kit) == (0.0, 0.0)


def test_they_are_counted_while_no_manager_runs_and_nothing_twice(kit: Kit) -> None:
    launch(kit, "aws")
    kit.farm.look(kit.later(1000))
    kit.farm.close_books(kit.later(5))
    kit.farm = Farm(kit.farm.ledger, kit.farm.store, kit.farm.settings)
    kit.farm.open_books()
    kit.farm.look(kit.later(3600 - 1005))
    assert lines(kit) == (pytest.approx(1.0), pytest.approx(0.5))


def test_they_count_against_the_caps_also_what_they_cost_until_machines_are_gone(tmp_path: Path) -> None:
    kit = farm(tmp_path, cap_farm_usd=2.0)
    launch(kit, "aws")
    kit.farm.look(kit.later(3600))
    (cap,) = kit.farm.costs(kit.now).caps
    assert cap.spent_usd == pytest.approx(1.5)
    assert cap.committed_usd > 1.5 * DISK_S / 3600
    assert kit.farm.may_spend(0.0, kit.now) == ""
    while not kit.farm.may_spend(0.0, kit.now):
        kit.farm.look(kit.later(10))
    with kit.farm.ledger.read() as tx:
        (money,) = kit.farm.farm_money(tx, kit.now)
    left_s = (money.cap_usd - money.spent_usd) / money.burn_usd_per_s
    assert left_s >= kit.farm.settings.cap_end_s, "there is money left until the machine is gone"


@pytest.mark.parametrize(
    ("provider", "manager_cloud", "usd"),
    [("aws", "", 0.24), ("digitalocean", "", 0.24), ("aws", "aws", 0.0), ("local", "", 0.0), ("own", "", 0.0)],
)
def test_what_agents_send_out_of_their_cloud_is_on_the_bill(
    tmp_path: Path, provider: str, manager_cloud: str, usd: float
) -> None:
    kit = farm(tmp_path, manager_cloud=manager_cloud)
    launch(kit, provider)
    for agent, size_bytes in (("agent-1", 500_000_000), ("agent-1", 1_500_000_000), ("nobody", 7)):
        kit.farm.came_from(agent, size_bytes)
    for _ in range(2):
        kit.farm.close_books(kit.later(1))
    found = kit.farm.costs(kit.now).in_all
    assert found.egress_usd == pytest.approx(usd)
    assert found.egress_bytes == (2_000_000_000 if usd else 0)


@pytest.mark.parametrize(
    ("settings", "usd"),
    [
        ({}, 0.0),
        ({"manager_cloud": "aws"}, 0.12),
        ({"manager_cloud": "aws", "estimate_egress_usd_per_gb": 0.08}, 0.08),
        ({"manager_cloud": "aws", "egress_usd_per_gb": 0.0}, 0.0),
        ({"egress_usd_per_gb": 0.09}, 0.09),
    ],
    ids=["at home", "in a cloud", "as estimates assume", "its owner says free", "its owner says"],
)
def test_what_owners_fetch_has_the_price_of_estimates_where_the_manager_is_in_a_cloud(
    tmp_path: Path, settings: dict[str, object], usd: float
) -> None:
    kit = farm(tmp_path, **settings)
    kit.farm.work.sent(1_000_000_000)
    kit.farm.close_books(kit.later(1))
    assert kit.farm.costs(kit.now).in_all.egress_usd == usd


def test_the_fleets_decision_keeps_money_back_for_them(tmp_path: Path) -> None:
    kit = farm(tmp_path, cap_farm_usd=2.0)
    launch(kit, "aws")
    kit.farm.look(kit.later(60))
    rows = kit.farm.instances.of("aws").living()
    (cap,) = situation_of(kit.farm, rows, [], Memory(), Times(boot_s=60, end_delay_s=60), kit.now).caps
    until_gone_s = kit.farm.settings.cap_end_s + DISK_S
    assert cap.spent_usd >= 1.5 * (60 + until_gone_s) / 3600
