"""What is chosen of a cloud, and what that costs at most."""

from __future__ import annotations

from typing import Any

import pytest

from addon.blendnet_addon.lib import cloud_choices
from addon.blendnet_addon.lib.cloud_choices import CHEAP, FALLBACK, FULL, Bill, Place, Wanted
from addon.blendnet_addon.lib.errors import AddonError
from blendnet.provision.aws import manager_requests
from blendnet.provision.gcp import manager_making
from blendnet.provision.menu import BLENDER_ARCH
from blendnet.settings import Settings

GIB = 1 << 30


def a_type(
    name: str, vcpus: int = 16, spot: float | None = 0.2, full: float | None = 0.8, **more: Any
) -> dict[str, Any]:
    """As `blendnet cloud types --json` lists it."""
    prices = {way: None if usd is None else {"usd_per_hour": usd} for way, usd in (("spot", spot), ("on_demand", full))}
    return {
        "name": name, "vcpus": vcpus, "memory_bytes": vcpus * 2 * GIB, "gpus": 0, "gpu": "", "arch": "x86_64",
        **prices, **more,
    }  # fmt: skip


TYPES = [a_type("c.large"), a_type("m6i.large", 2, 0.03, 0.1), a_type("odd", spot=None, full=None)]


def test_what_the_command_takes_by_itself_is_known_here() -> None:
    made = {"aws": manager_requests.MACHINE, "gcp": manager_making.MACHINE}
    assert made == cloud_choices.MANAGER_MACHINES
    assert set(cloud_choices.PROVIDERS) == set(made) == set(cloud_choices.REGIONS)
    assert cloud_choices.ARCH == BLENDER_ARCH


@pytest.mark.parametrize("market", [CHEAP, FALLBACK, FULL])
def test_settings_are_those_that_the_manager_reads(market: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Wanted("c.large", 4, market, cap_hour=5.0, cap_day=20.0)
    for name, value in wanted.settings(Bill(wanted, TYPES, "aws")).items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert (read.fleet_machines, read.fleet_on_demand) == ("c.large", market)
    assert read.fleet_price_max_usd == pytest.approx(1.225)


def test_place_is_said_with_its_account_and_options() -> None:
    place = Place("gcp", " europe-west1 ", "my-farm", "network=net; zones = a,b ;")
    assert " ".join(place.arguments(allow="1.2.3.4/32")) == (
        "--provider gcp --region europe-west1 --option allow=1.2.3.4/32 --option network=net --option project=my-farm "
        "--option zones=a,b"
    )
    assert place == Place("gcp", "europe-west1", "my-farm", "zones=a,b; network=net")
    assert place != Place("gcp", "europe-west1")
    assert place.words == "gcp, europe-west1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hetzner", "x"), "'hetzner' makes no machine for a Manager: choose aws or gcp"),
        (("aws", ""), "which region of aws.*us-east-1"),
        (("gcp", "--yes"), "which region of gcp.*us-central1"),
        (("aws", "us-east-1", "", "profile"), "'profile' is no option"),
    ],
)
def test_place_that_cannot_be_is_refused(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(AddonError, match=words):
        Place(*arguments)


def test_farm_that_was_begun_goes_on_with_its_account() -> None:
    noted = {"provider": "aws", "region": "eu-central-1", "options": {"profile": "film", "allow": "0.0.0.0/0"}}
    assert Place.of_note(noted) == Place("aws", "eu-central-1", "film")
    assert Place.of_note({**noted, "options": None}, "vpc=vpc-1") == Place("aws", "eu-central-1", "", "vpc=vpc-1")


def test_command_hears_of_limits_that_were_chosen_alone() -> None:
    assert Wanted("", 2, CHEAP, 0, 0).arguments() == ["--agents-max", "2"]
    assert Wanted("", 0, "", 0, 0).arguments() == []
    assert Wanted("", 0, "", 0, 0).settings(Bill(Wanted("", 0, "", 0, 0), [], "aws")) == {}
    said = Wanted("", 2, CHEAP, 0, 12.5, "m6i.xlarge").arguments()
    assert said == ["--agents-max", "2", "--machine", "m6i.xlarge", "--cap-day", "12.50"]


@pytest.mark.parametrize(
    ("market", "machine", "cap", "hour"),
    [
        (CHEAP, "c.large", 0, 0.9), (FALLBACK, "c.large", 0, 3.3), (FULL, "c.large", 0, 3.3),
        (FULL, "c.large", 5.0, 3.3), (CHEAP, "", 5.0, 5.0), (CHEAP, "", 0, None), (CHEAP, "odd", 0, None),
    ],
)  # fmt: skip
def test_hour_costs_all_machines_and_the_manager_at_most(market: str, machine: str, cap: float, hour: float) -> None:
    wanted = Wanted(machine, 4, market, cap, 0)
    found = Bill(wanted, TYPES, "aws").hour_usd(wanted)
    assert found == (None if hour is None else pytest.approx(hour))


def test_cap_of_an_hour_holds_whatever_is_taken() -> None:
    for agents in range(1, 40):
        wanted = Wanted("", agents, CHEAP, 3.0, 0)
        limit = Bill(wanted, TYPES, "aws").price_limit(wanted)
        assert agents * limit + 0.1 <= 3.0 + 1e-9
        assert limit > 0


@pytest.mark.parametrize(
    ("wanted", "types", "words"),
    [
        (
            Wanted("c.large", 4, FULL, 3.0, 0),
            TYPES,
            r"4 machines and the Manager cost \$3\.30 an hour, more than the cap",
        ),
        (Wanted("", 4, FULL, 0.05, 0), TYPES, "more than the cap"),
        (Wanted("", 4, FULL, 3.0, 0, "unheard-of"), TYPES, "nobody knows what the Manager's machine costs"),
        (Wanted("", 4, FULL, 3.0, 0), [], "nobody knows"),
        (Wanted("", 0, "", 3.0, 0), TYPES, "how many machines share"),
    ],
)
def test_cap_of_an_hour_that_cannot_hold_is_refused(wanted: Wanted, types: list[Any], words: str) -> None:
    with pytest.raises(AddonError, match=words):
        wanted.settings(Bill(wanted, types, "aws"))


def test_menu_lists_what_can_render_of_the_size_the_cheapest_first() -> None:
    types = [
        a_type("dear", spot=0.5), a_type("cheap", spot=0.1, full=0.9), a_type("unknown", spot=None), a_type("small", 8),
        a_type("large", 32), a_type("arm", arch="arm64"), a_type("gpu", gpus=1, gpu="T4"), a_type("middle", 24, 0.3),
        a_type("thin", memory_bytes=4 * GIB),
    ]  # fmt: skip
    names = [entry["name"] for entry in cloud_choices.menu_of(types, 16, False, CHEAP)]
    assert names == ["cheap", "middle", "dear", "unknown"]
    assert [entry["name"] for entry in cloud_choices.menu_of(types, 16, True, CHEAP)] == ["gpu"]
    assert cloud_choices.menu_of(types, 16, False, FULL)[0]["name"] == "dear"
    assert len(cloud_choices.menu_of([a_type(f"t{n}") for n in range(99)], 16, False, FULL)) == cloud_choices.LISTED


def test_label_names_size_and_price() -> None:
    assert cloud_choices.label(TYPES[0], CHEAP) == "c.large: 16 vCPU, 32 GB, $0.2000/h"
    assert cloud_choices.label(a_type("g", gpus=4, gpu="T4", full=3.912), FULL) == "g: 16 vCPU, 32 GB, 4 x T4, $3.91/h"
    assert cloud_choices.label(TYPES[2], FULL) == "odd: 16 vCPU, 32 GB, price unknown"
    assert [cloud_choices.price_text(usd) for usd in (0, 0.00001, 0.04)] == ["$0.0000", "$1.0e-05", "$0.0400"]


def test_who_may_reach_the_manager_becomes_networks() -> None:
    asked: list[bool] = []

    def own() -> str:
        asked.append(True)
        return "203.0.113.7"

    said = [cloud_choices.allowed(text, own) for text in ("everyone", "198.51.100.0/24, 203.0.113.9/32")]
    assert said == ["0.0.0.0/0", "198.51.100.0/24,203.0.113.9/32"]
    assert asked == []
    assert cloud_choices.allowed("mine", own) == "203.0.113.7/32"
    with pytest.raises(AddonError, match="'home' is no network"):
        cloud_choices.allowed("203.0.113.7/32,home", own)
