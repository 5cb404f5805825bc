"""The port of a Manager's Redis in a cloud: one truth for clouds, user data and documents."""

from __future__ import annotations

import pytest

from blendnet.errors import UserError
from blendnet.provision.aws.options import Options
from blendnet.provision.base import Place
from blendnet.provision.bootstrap_manager import BROKER_PORT
from blendnet.provision.gcp.account import OPTIONS, account_of
from tests.conftest import ROOT


def test_all_clouds_open_the_same_port_and_say_so() -> None:
    assert int(Options().broker_port) == BROKER_PORT
    assert account_of(Place("farm", "us-central1", {})).broker_port == BROKER_PORT
    assert OPTIONS["broker-port"].endswith(f"default: {BROKER_PORT}")
    for document, option in (("clouds.md", "broker_port"), ("clouds-gcp.md", "broker-port")):
        [row] = [row for row in (ROOT / "docs" / document).read_text().splitlines() if row.startswith(f"| `{option}` ")]
        assert row.endswith(f"| {BROKER_PORT} |")


@pytest.mark.parametrize("port", ["443", "0", "70000", "6380.5", "redis"])
def test_a_port_that_redis_cannot_have_is_refused_before_anything_is_made(port: str) -> None:
    with pytest.raises(UserError, match="broker_port"):
        Options.read({"broker_port": port})
