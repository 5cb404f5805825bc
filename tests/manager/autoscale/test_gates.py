"""How machines become agents: by what their user data hold, once, and only until they are gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blendnet.errors import FarmError, Revoked, TokenRefused
from blendnet.manager.autoscale.gates import JoinGate, OpenGate
from blendnet.messages import AgentReport
from blendnet.provision.base import Features
from blendnet.provision.bootstrap import AGENT_FILE, CA_FILE, TOKEN_FILE
from blendnet.provision.cloud_init import HEADER
from blendnet.provision.stock import FETCH_FILE
from blendnet.settings import Settings
from tests.manager.joined import OpenFarm, open_farm

NOTICE = Features(notice="aws")


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenFarm]:
    with open_farm(tmp_path_factory.mktemp("open")) as opened:
        yield opened


def gate(farm: OpenFarm, **settings: Any) -> JoinGate:
    return JoinGate(farm.joining, Settings(**settings), NOTICE)


def files(user_data: str) -> dict[str, str]:
    """Path -> content of what cloud-init writes."""
    document = json.loads(user_data.removeprefix(HEADER))
    return {file["path"]: file["content"] for file in document["write_files"]}


def test_user_data_let_one_machine_join_once(farm: OpenFarm) -> None:
    told = files(gate(farm).user_data("agent-1", 3600.5, gpu=False))
    assert told[CA_FILE].encode() == farm.ca.read_bytes()
    assert 'BLENDNET_JOIN_URL="https://manager.example:8443"' in told[AGENT_FILE]
    assert 'BLENDNET_NOTICE="aws"' in told[AGENT_FILE]
    assert 'BLENDNET_LIFETIME_S="3600"' in told[AGENT_FILE]
    with pytest.raises(TokenRefused, match="for an agent named agent-1"):
        farm.join("agent-2", told[TOKEN_FILE])
    assert farm.join("agent-1", told[TOKEN_FILE]).member.name == "agent-1"
    with pytest.raises(TokenRefused, match="used already"):
        farm.join("agent-1", told[TOKEN_FILE], folder="thief")


def test_a_token_is_good_for_as_long_as_a_machine_may_boot(farm: OpenFarm) -> None:
    token = files(gate(farm, fleet_boot_limit_s=60.0).user_data("agent-3", 3600, gpu=False))[TOKEN_FILE]
    farm.ahead_s = 61.0
    try:
        with pytest.raises(TokenRefused, match="expired"):
            farm.join("agent-3", token)
    finally:
        farm.ahead_s = 0.0
    gate(farm, fleet_boot_limit_s=1e8).user_data("agent-3", 3600, gpu=False)


def test_a_machine_that_is_gone_is_no_agent_any_more(farm: OpenFarm) -> None:
    joined = gate(farm)
    farm.join("agent-4", files(joined.user_data("agent-4", 3600, gpu=False))[TOKEN_FILE])
    with farm.agent("agent-4") as client:
        client.report("agent-4", AgentReport(pid=1))
        joined.shut_out("agent-4", 0.0)
        with pytest.raises(Revoked):
            client.report("agent-4", AgentReport(pid=1))


def test_the_token_of_a_machine_that_is_gone_is_worth_nothing(farm: OpenFarm) -> None:
    joined = gate(farm)
    token = files(joined.user_data("agent-5", 3600, gpu=False))[TOKEN_FILE]
    joined.shut_out("agent-5", 0.0)
    with pytest.raises(TokenRefused):
        farm.join("agent-5", token)


def test_fresh_machines_fetch_the_managers_bundle(farm: OpenFarm, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    with pytest.raises(FarmError, match="make bundle"):
        gate(farm, worker_bundle=bundle).user_data("agent-6", 3600, gpu=False)
    bundle.write_bytes(b"bundle")
    assert (
        "https://manager.example:8443/worker-bundle"
        in files(gate(farm, worker_bundle=bundle).user_data("agent-6", 3600, gpu=False))[FETCH_FILE]
    )


@pytest.mark.parametrize("gpu", [True, False])
def test_fresh_machines_with_gpus_get_their_driver(farm: OpenFarm, tmp_path: Path, gpu: bool) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    bundle.write_bytes(b"bundle")
    text = gate(farm, worker_bundle=bundle).user_data("agent-7", 3600, gpu=gpu)
    assert ("install.sh --gpu" in text) is gpu
    assert "install.sh" in text


def test_agents_on_this_machine_need_nothing() -> None:
    opened = OpenGate()
    assert opened.user_data("agent-1", 3600, gpu=False) == ""
    opened.shut_out("agent-1", 0.0)
