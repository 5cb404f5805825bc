"""Agents as processes of this machine: the provider's contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from blendnet.cli.agent_folder import AgentFolder, Member
from blendnet.errors import FarmError
from blendnet.provision.base import Wanted, free_names
from blendnet.provision.libcloud.clouds import CLOUDS
from blendnet.provision.local import AgentEnvironment, LocalProvider


class Recorded:
    """Processes that are only written down."""

    def __init__(self) -> None:
        self.environments: dict[str, Mapping[str, str]] = {}

    def keep(
        self, *, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, stop_timeout_s: float
    ) -> int:
        assert command[1:] == ["-m", "blendnet.agent.worker"]
        assert log.name == f"{name}.log"
        self.environments[name] = environment
        return 1000 + len(self.environments)

    def running(self) -> Mapping[str, int | None]:
        return dict.fromkeys(self.environments, 1001)

    def end(self, names: Sequence[str]) -> None:
        for name in names:
            self.environments.pop(name, None)


@pytest.fixture
def processes() -> Recorded:
    return Recorded()


@pytest.fixture
def provider(processes: Recorded, tmp_path: Path) -> LocalProvider:
    environment = AgentEnvironment(
        data=tmp_path, manager_url="https://127.0.0.1:1", manager_ca=tmp_path / "ca.crt", manager_user="agent",
        manager_password_file=tmp_path / "agent-password", broker_url="redis+socket:///s",
        temporary=tmp_path, local_store_dir=tmp_path / "s",
    )  # fmt: skip
    return LocalProvider(processes, environment)


def test_provider_lists_what_it_created(provider: LocalProvider) -> None:
    provider.create(Wanted(names=["agent-1", "agent-2"]))
    assert [instance.name for instance in provider.list()] == ["agent-1", "agent-2"]


def test_creating_again_leaves_a_running_agent_alone(provider: LocalProvider, processes: Recorded) -> None:
    provider.create(Wanted(names=["agent-1"]))
    before = processes.environments["agent-1"]
    provider.create(Wanted(names=["agent-1"]))
    assert processes.environments["agent-1"] is before


def test_destroying_may_be_repeated(provider: LocalProvider) -> None:
    provider.create(Wanted(names=["agent-1"]))
    provider.destroy(["agent-1", "agent-7"])
    provider.destroy(["agent-1"])
    assert list(provider.list()) == []


def test_each_agent_has_a_name_and_folder_of_its_own_and_shares_the_cache(
    provider: LocalProvider, processes: Recorded, tmp_path: Path
) -> None:
    provider.create(Wanted(names=["agent-1", "agent-2"]))
    first, second = processes.environments["agent-1"], processes.environments["agent-2"]
    assert (first["BLENDNET_AGENT_NAME"], second["BLENDNET_AGENT_NAME"]) == ("agent-1", "agent-2")
    assert first["BLENDNET_AGENT_DIR"] != second["BLENDNET_AGENT_DIR"]
    assert first["BLENDNET_BLOB_CACHE_DIR"] == second["BLENDNET_BLOB_CACHE_DIR"]


def test_agents_get_no_password_but_the_agents_own(
    provider: LocalProvider, processes: Recorded, tmp_path: Path
) -> None:
    provider.create(Wanted(names=["agent-1"]))
    assert processes.environments["agent-1"]["BLENDNET_MANAGER_PASSWORD_FILE"] == str(tmp_path / "agent-password")


@pytest.mark.parametrize(("left_s", "text"), [(None, ""), (2.5, "2.5"), (120.0, "120")])
def test_agent_finds_its_notice_where_it_looks_for_it(
    provider: LocalProvider, processes: Recorded, left_s: float | None, text: str
) -> None:
    provider.create(Wanted(names=["agent-1"]))
    provider.interrupt("agent-1", left_s)
    assert Path(processes.environments["agent-1"]["BLENDNET_NOTICE_FILE"]).read_text() == text


def test_new_agent_does_not_get_the_notice_of_its_predecessor(provider: LocalProvider, processes: Recorded) -> None:
    provider.interrupt("agent-1", 5.0)
    provider.create(Wanted(names=["agent-1"]))
    assert not Path(processes.environments["agent-1"]["BLENDNET_NOTICE_FILE"]).exists()


def test_notice_that_cannot_be_left_is_an_error_that_names_the_agent(provider: LocalProvider, tmp_path: Path) -> None:
    (tmp_path / "agents").write_text("in the way")
    with pytest.raises(FarmError, match="agent-1"):
        provider.interrupt("agent-1", 5.0)


@pytest.mark.parametrize(
    ("taken", "count", "names"),
    [
        ([], 2, ["agent-1", "agent-2"]),
        (["agent-1", "agent-3"], 2, ["agent-2", "agent-4"]),
        (["agent-1"], 0, []),
    ],
    ids=["none", "gaps", "no-count"],
)
def test_new_agents_get_the_first_free_names(taken: list[str], count: int, names: list[str]) -> None:
    assert free_names(taken, count) == names


SECRETS = (
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("BLENDNET_LEDGER_URL", "BLENDNET_CLOUD_OPTIONS"),
    *(name for cloud in CLOUDS.values() for names in cloud.credentials.values() for name in names),
)
"""Variables by which clouds are told who one is; an option of a provider may be one of its keys."""


@pytest.fixture
def keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts the farm, or joins one, has all these clouds' keys in the environment."""
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LANG", "C")


@pytest.mark.usefixtures("keys_around")
def test_agent_gets_no_key_of_the_managers_cloud(provider: LocalProvider, processes: Recorded) -> None:
    provider.create(Wanted(names=["agent-1"]))
    environment = processes.environments["agent-1"]
    assert not set(SECRETS) & set(environment)
    assert environment["LANG"] == "C"


@pytest.mark.usefixtures("keys_around")
def test_agent_that_has_joined_gets_no_key_of_its_users_clouds(tmp_path: Path) -> None:
    environment = AgentFolder(tmp_path).environment(Member("workstation", "https://farm.example:8443", 6380))
    assert "secret" not in environment.values()
    assert environment["LANG"] == "C"
