"""From settings to a loop: what is wished, and what is said when it cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from blendnet.errors import UserError
from blendnet.manager.autoscale.loop import FleetLoop
from blendnet.manager.autoscale.make import make_loop, policy_of
from blendnet.provision.policy import Policy
from blendnet.settings import Settings
from tests.manager.autoscale.cloud import Cloud
from tests.manager.farms import make_kit

FIELDS = {field.name: field.default for field in dataclasses.fields(Policy)}


def made(folder: Path, **settings: Any) -> FleetLoop | None:
    kit = make_kit(folder / "farm", **settings)
    try:
        return make_loop(kit.farm, Cloud(kit.now), None, farm_label="blendnet-1", logs=folder)
    finally:
        kit.farm.ledger.close()


def test_no_loop_unless_a_provider_is_named(tmp_path: Path) -> None:
    assert made(tmp_path) is None


def test_a_policy_wishes_what_the_settings_say_and_they_have_its_defaults() -> None:
    assert policy_of(Settings()) == Policy()
    shared = [name for name in FIELDS if f"fleet_{name}" in Settings.model_fields]
    assert len(shared) > 12
    wished = policy_of(Settings(fleet_max=3, fleet_min=1, fleet_on_demand="never", fleet_price_max_usd=0.5))
    assert (wished.max, wished.min, wished.on_demand, wished.price_max_usd) == (3, 1, "never", 0.5)


@pytest.mark.parametrize("name", sorted(name for name in FIELDS if f"fleet_{name}" in Settings.model_fields))
def test_every_setting_of_the_policy_has_its_default(name: str) -> None:
    assert Settings.model_fields[f"fleet_{name}"].default == FIELDS[name]


def test_local_agents_need_nothing_else(tmp_path: Path) -> None:
    loop = made(tmp_path, fleet_provider="local")
    assert loop is not None
    assert loop.machines() == []


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"fleet_provider": "moon"}, "there is no provider 'moon': one of aws, azure, "),
        ({"fleet_provider": "local", "fleet_min": 9}, "fleet_min 9 and fleet_max 8"),
        ({"fleet_provider": "vultr", "cloud_options": "key"}, "BLENDNET_CLOUD_OPTIONS"),
    ],
)
def test_settings_that_will_not_do_are_named(tmp_path: Path, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        made(tmp_path, **settings)


def test_machines_of_a_cloud_need_an_address_to_come_to(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"machines of aws have to reach this farm.*BLENDNET_LISTEN"):
        made(tmp_path, fleet_provider="aws", cloud_region="eu-central-1")
