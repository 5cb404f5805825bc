"""The public address of a cloud's machine, asked of its metadata service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from blendnet.errors import NoticeUnknown
from blendnet.metadata import PUBLIC_ADDRESS, public_address
from tests.agent.metadata_fakes import Fake, metadata_service


@pytest.fixture
def fake() -> Iterator[Fake]:
    with metadata_service() as found:
        yield found


@pytest.mark.parametrize("cloud", sorted(PUBLIC_ADDRESS))
def test_each_cloud_tells_the_address_that_it_has_now(fake: Fake, cloud: str) -> None:
    for address in ("203.0.113.7", "203.0.113.8", ""):
        fake.address = address
        assert public_address(cloud, fake.url) == address


@pytest.mark.parametrize("cloud", sorted(PUBLIC_ADDRESS))
@pytest.mark.parametrize(("status", "body"), [(500, None), (302, None), (None, "<html>")])
def test_an_answer_that_is_no_address_is_an_error(fake: Fake, cloud: str, status: int | None, body: str | None) -> None:
    fake.address, fake.status, fake.body = "203.0.113.7", status, body
    with pytest.raises(NoticeUnknown):
        public_address(cloud, fake.url)


def test_silence_is_an_error() -> None:
    with pytest.raises(NoticeUnknown, match="does not answer"):
        public_address("aws", "http://127.0.0.1:9")
