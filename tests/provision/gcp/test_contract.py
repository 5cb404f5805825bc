"""The contract of provision/base.py on Google Cloud, with Google's own client libraries against the fake GCE."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.provision.base import Offer, Place
from blendnet.provision.gcp.account import account_of
from blendnet.provision.gcp.provider import GcpProvider
from tests.provision.contract import ProviderContract, Subject
from tests.provision.fake_gce import PROJECT, FakeGce
from tests.provision.gcp.conftest import cloud_init


class TestGcp(ProviderContract):
    """Spot machines in any zone, and of another type in one zone."""

    spot = True

    @pytest.fixture
    def served(self) -> Iterator[FakeGce]:
        with FakeGce().served() as fake:
            fake.quota |= {"PREEMPTIBLE_CPUS": 256.0, "N2D_CPUS": 24.0, "INSTANCES": 100.0, "GPUS_ALL_REGIONS": 0.0}
            yield fake

    @pytest.fixture
    def subject(self, served: FakeGce, tmp_path: Path) -> Subject:
        def opened(farm: str) -> GcpProvider:
            options = {"project": PROJECT, "endpoint": served.url, "cache": str(tmp_path), "wait-s": "5"}
            return GcpProvider(account_of(Place(farm, "us-central1", options)))

        return Subject(
            provider=opened("farm"),
            other_farm=opened("other"),
            offers=[Offer("n2d-highcpu-32", "", self.spot), Offer("c2-standard-16", "us-central1-a", self.spot)],
            user_data=cloud_init,
            again=lambda: opened("farm"),
        )


class TestGcpOnDemand(TestGcp):
    """The same at the full price: Google takes none of them back."""

    spot = False
