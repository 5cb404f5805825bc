"""The contract of provision/base.py on apache-libcloud's clouds: what they say over recorded answers, and machines over
libcloud's dummy driver, which all six order from in their own words."""

from __future__ import annotations

import pytest

from blendnet.provision.base import Offer
from blendnet.provision.libcloud.clouds import CLOUDS
from tests.provision.contract import AskingContract, MakingContract, Subject
from tests.provision.libcloud.conftest import Set, options
from tests.provision.libcloud.dummy import ZONE, Dummy, dummy_provider
from tests.provision.libcloud.test_quotas import AZURE_USAGES, OPENSTACK_LIMITS, answers

ALL = sorted(CLOUDS)


class TestAnswers(AskingContract):
    """What each cloud says, by recorded answers."""

    @pytest.fixture(params=ALL)
    def subject(self, request: pytest.FixtureRequest, scene: Set, monkeypatch: pytest.MonkeyPatch) -> Subject:
        made = scene(request.param, **options(request.param))
        if request.param == "azure":
            answers(monkeypatch, made, "/locations/eastus/usages", AZURE_USAGES)
        if request.param == "openstack":
            answers(monkeypatch, made, "/limits", OPENSTACK_LIMITS)
        if request.param == "digitalocean":
            monkeypatch.setattr(made.driver, "ex_account_info", lambda: {"droplet_limit": 10})
        return Subject(provider=made.provider, offers=[Offer(made.recorded.size, made.recorded.zone, False)])


class TestMachines(MakingContract):
    """Machines of each cloud, over the dummy driver."""

    @pytest.fixture(params=ALL)
    def subject(self, request: pytest.FixtureRequest) -> Subject:
        driver, spot = Dummy(), CLOUDS[request.param].features.spot
        return Subject(
            provider=dummy_provider(request.param, driver),
            other_farm=dummy_provider(request.param, driver, "other"),
            offers=[Offer("two", ZONE, spot), Offer("eight", ZONE, spot)],
            user_data=lambda name: f"#cloud-config {name}",
            again=lambda: dummy_provider(request.param, driver),
        )
