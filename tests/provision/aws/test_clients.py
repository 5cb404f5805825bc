"""Where requests to AWS go by the environment's word, and what is said when that is nowhere, or somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws import described
from blendnet.provision.aws.clients import Clients, connect
from blendnet.provision.aws.provider import AwsProvider
from blendnet.provision.base import Place
from tests.provision.moto_server import FakeAws

PAGE = b"<html><body>Log in</body></html>"
TORN = b"<html><body>Log in<br></body></html>"
"""No XML."""


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> list[bytes]:
        return [self._content]


def answering(content: bytes, *services: str) -> Clients:
    """Clients of services where somebody else answers everything with a page."""
    clients = connect("", {})
    for service in services:

        def answer(request: Any, **_: Any) -> AWSResponse:
            return AWSResponse(request.url, 200, {}, _Body(content))

        clients[service].meta.events.register("before-send", answer)
    return clients


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_ENDPOINT_URL", "localhost:4566"), ("AWS_MAX_ATTEMPTS", "abc")],
)
def test_a_variable_that_cannot_be_is_named(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    provider = AwsProvider(connect("", {}), Place("farm"))
    with pytest.raises(UserError, match=f"{value}.*{name} is|{value}.*AWS_ENDPOINT_URL .* and {name} a number"):
        provider.machine_types()


def test_a_region_that_cannot_be_is_told_as_the_sdk_does(aws: FakeAws) -> None:
    with pytest.raises(FarmError, match="eu/west"):
        AwsProvider(connect("eu/west", {}), Place("farm")).machine_types()


@pytest.mark.parametrize("content", [PAGE, TORN], ids=["page", "torn"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda clients: described.machines(clients, ()),
        lambda clients: described.volumes(clients, ()),
        lambda clients: AwsProvider(clients, Place("farm")).machine_types(),
        lambda clients: AwsProvider(clients, Place("farm")).account.ensure(),
    ],
    ids=["machines", "volumes", "types", "account"],
)
def test_a_page_is_no_answer_of_aws(aws: FakeAws, ask: Callable[[Clients], Any], content: bytes) -> None:
    clients = answering(content, "ec2", "sts")
    with pytest.raises(FarmError, match=r"what answers there is not AWS .* look at AWS_ENDPOINT_URL"):
        ask(clients)
