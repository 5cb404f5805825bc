"""The list of prices inside apache-libcloud."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blendnet.errors import FarmError
from blendnet.provision.base import Offer
from blendnet.provision.libcloud import price_list
from blendnet.provision.libcloud.price_list import PriceList, open_price_list

GIB = 1 << 30


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PriceList:
    monkeypatch.setattr(price_list, "NEWER_FILE", tmp_path / "pricing.json")
    return open_price_list()


def test_the_list_has_a_date_and_is_not_empty(listed: PriceList) -> None:
    assert listed.at == 1740936978
    assert len(listed.compute["ec2_linux"]) == 970
    assert len(listed.compute["azure_linux"]) == 563


def test_prices_of_three_clouds_are_found(listed: PriceList) -> None:
    assert listed.ec2("c5.2xlarge", "us-east-1") == 0.34
    assert listed.azure("Standard_F8s_v2", "eastus") == pytest.approx(0.338, abs=0.1)
    assert listed.gce("n2d-highcpu-32", "us-central1", 32, 32 * GIB) == pytest.approx(1.0, abs=0.2)


def test_nothing_is_free_because_its_price_is_unknown(listed: PriceList) -> None:
    assert listed.compute["ec2_linux"]["c5.2xlarge"]["us-west-1"] == 0.0
    assert listed.ec2("c5.2xlarge", "us-west-1") is None
    assert listed.compute["gce_instances"]["c2"]["cpu"]["on_demand"]["europe-west6"]["price"] == 0.0
    assert listed.gce("c2-standard-16", "europe-west6", 16, 64 * GIB) is None


@pytest.mark.parametrize("machine", ["z9.mega", ""])
def test_what_is_not_in_the_list_is_unknown(listed: PriceList, machine: str) -> None:
    assert listed.ec2(machine, "us-east-1") is None
    assert listed.azure(machine, "eastus") is None
    assert listed.gce(machine, "us-central1", 4, GIB) is None


def test_a_shared_machine_is_billed_for_its_part(listed: PriceList) -> None:
    whole = listed.gce("e2-standard-2", "us-central1", 2, GIB)
    part = listed.gce("e2-micro", "us-central1", 2, GIB)
    assert whole
    assert part
    assert part < whole


def test_prices_name_their_source_and_their_age(listed: PriceList) -> None:
    offer = Offer("c5.2xlarge", "us-east-1a", True)
    unknown = Offer("z9.mega", "us-east-1a", True)
    (price,) = listed.prices([offer, unknown], {offer: 0.34, unknown: None}).values()
    assert (price.source, price.at, price.usd_per_hour) == ("list", listed.at, 0.34)


def test_a_newer_list_of_the_user_goes_first(listed: PriceList, tmp_path: Path) -> None:
    content = {"updated": 1790000000, "compute": {"ec2_linux": {"c5.2xlarge": {"us-east-1": "0.5"}}}}
    (tmp_path / "pricing.json").write_text(json.dumps(content))
    assert open_price_list().ec2("c5.2xlarge", "us-east-1") == 0.5


def test_a_damaged_list_is_an_error_that_names_it(listed: PriceList, tmp_path: Path) -> None:
    (tmp_path / "pricing.json").write_text("{")
    with pytest.raises(FarmError, match=r"pricing\.json"):
        open_price_list()


def test_a_missing_libcloud_is_named(listed: PriceList, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FarmError, match=r"blendnet\[libcloud\]"):
        open_price_list()
