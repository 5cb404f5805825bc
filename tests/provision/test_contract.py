"""The contract of provision/base.py on the providers that need no cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blendnet.provision.base import Offer, Provider
from blendnet.provision.local import AgentEnvironment, LocalProvider
from tests.provision import example_provider
from tests.provision.contract import ProviderContract, Subject
from tests.provision.test_local import Recorded


class TestLocal(ProviderContract):
    """Agents as processes that the farm's service keeps running."""

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        environment = AgentEnvironment(
            data=tmp_path, manager_url="https://127.0.0.1:1", manager_ca=tmp_path / "ca.crt", manager_user="agent",
            manager_password_file=tmp_path / "agent-password", broker_url="redis+socket:///s",
            temporary=tmp_path, local_store_dir=tmp_path / "s",
        )  # fmt: skip
        return Subject(provider=LocalProvider(Recorded(), environment))


class TestProcesses(ProviderContract):
    """The example of docs/providers.md, with real processes."""

    @pytest.fixture
    def opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Provider]]:
        yield from example_provider.opened(tmp_path, monkeypatch)

    @pytest.fixture
    def subject(self, opened: Callable[..., Provider]) -> Subject:
        return Subject(
            provider=opened(usd_per_vcpu_hour="0.02"),
            other_farm=opened("other"),
            offers=[Offer("core", "", False), Offer("host", "", False)],
            user_data=lambda name: example_provider.STAYS,
        )
