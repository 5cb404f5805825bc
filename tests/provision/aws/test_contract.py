"""The contract of provision/base.py on AWS, against moto's server."""

from __future__ import annotations

import pytest

from blendnet.provision.base import Offer
from tests.provision.aws.conftest import MakeProvider
from tests.provision.contract import ProviderContract, Subject
from tests.provision.moto_server import REGION, FakeAws


class TestAws(ProviderContract):
    """Spot machines of two types, wherever the region has them."""

    @pytest.fixture
    def subject(self, open_farm: MakeProvider, neighbour: str, aws: FakeAws) -> Subject:
        farm = open_farm()
        farm.account.ensure()
        aws.quotas = {"L-34B43A08": 256.0, "L-DB2E81BA": 0.0}
        aws.list_prices = {"c7i.4xlarge": 0.8}
        return Subject(
            provider=farm,
            other_farm=open_farm(neighbour),
            offers=[Offer("c7i.4xlarge", "", True), Offer("m7i.4xlarge", f"{REGION}a", True)],
            user_data=lambda name: f"#cloud-config {name}",
            again=lambda: open_farm(farm.account.labels.farm),
        )


@pytest.mark.thorough
class TestAwsOnDemand(TestAws):
    """The same at the full price."""

    @pytest.fixture
    def subject(self, open_farm: MakeProvider, aws: FakeAws) -> Subject:
        farm = open_farm()
        farm.account.ensure()
        aws.list_prices = {"c7i.4xlarge": 0.8}
        return Subject(
            provider=farm, offers=[Offer("c7i.4xlarge", "", False)], again=lambda: open_farm(farm.account.labels.farm)
        )
