"""One fake AWS for all tests of this folder, and farms of their own on it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blendnet.provision.aws.clients import Clients, connect
from blendnet.provision.aws.manager_machine import ManagerHost
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.base import Place
from tests.provision.moto_server import FakeAws, environment, running_aws

IMAGE = "ami-12c6146b"
"""An image that moto knows."""

MakeProvider = Callable[..., AwsProvider]


@pytest.fixture(scope="session")
def _server(descriptions_of_aws: None) -> Iterator[FakeAws]:
    with running_aws() as fake:
        yield fake


@pytest.fixture(scope="session")
def _clients(_server: FakeAws) -> Clients:
    """One SDK session for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(_server).items():
            patch.setenv(name, value)
        clients = connect("", {})
        for service in ("ec2", "iam", "s3", "sts", "ssm", "service-quotas", "pricing"):
            assert clients[service].meta.endpoint_url == _server.url
        return clients


@pytest.fixture
def aws(_server: FakeAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """The fake, well-behaved, with the environment pointing to it."""
    _server.forget()
    for name, value in environment(_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    yield _server
    _server.forget()


@pytest.fixture
def open_farm(aws: FakeAws, _clients: Clients, tmp_path: Path) -> MakeProvider:
    """Open the provider for a farm that nobody else has, or the one named."""

    def open_(farm: str = "", **options: str) -> AwsProvider:
        options = {"image": IMAGE, "manager_image": IMAGE, "price_cache": str(tmp_path / "prices.json"), **options}
        return AwsProvider(_clients, Place(farm or f"t{uuid.uuid4().hex[:8]}", options=options), sleep=lambda s: None)

    return open_


@pytest.fixture(scope="session")
def neighbour(_clients: Clients) -> str:
    """Name of a farm beside those of the tests that is set up; who makes machines there ends them."""
    options = {"image": IMAGE, "manager_image": IMAGE}
    AwsProvider(_clients, Place("neighbour", options=options), sleep=lambda s: None).account.ensure()
    return "neighbour"


@pytest.fixture
def farm(open_farm: MakeProvider) -> AwsProvider:
    """A farm that is set up."""
    provider = open_farm()
    provider.account.ensure()
    return provider


@pytest.fixture
def host(farm: AwsProvider) -> ManagerHost:
    """Of a farm that is set up."""
    return farm.manager_host
