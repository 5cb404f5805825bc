"""`blendnet cloud prepare` and `remove`, against a fake AWS and against a cloud that has machines alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from blendnet.cli import cloud_account
from blendnet.cli.cloud_account import MachinesAlone
from blendnet.manager.folder import DataFolder
from blendnet.provision.base import Account, Instance, InstanceState, Offer, Place, Wanted
from blendnet.provision.registry import open_provider
from blendnet.settings import get_settings
from tests.cli.clouds import set_settings
from tests.cli.conftest import Done
from tests.provision.moto_server import REGION, FakeAws, environment, running_aws

Run = Callable[..., Done]
IMAGE = "image=ami-12c6146b"


@pytest.fixture(scope="module")
def _server() -> Iterator[FakeAws]:
    with running_aws() as fake:
        yield fake


@pytest.fixture
def aws(_server: FakeAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAws]:
    """The fake, and nothing of the developer's own settings."""
    for name, value in environment(_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    set_settings(monkeypatch, cloud_provider="aws", cloud_region=REGION, cloud_options=IMAGE, data=str(tmp_path))
    _server.quotas = dict.fromkeys(("L-34B43A08", "L-3819A6DF", "L-1216C47A", "L-DB2E81BA"), 64.0)
    yield _server
    _server.forget()
    get_settings.cache_clear()


def launch(data: Path, *names: str) -> None:
    """Machines of the farm, as its loop asks for them."""
    provider = open_provider("aws", Place(DataFolder(data).label(), REGION, {"image": "ami-12c6146b"}))
    wanted = Wanted(names=names, offers=[Offer("c5.large", "", True)], token="t")
    assert len(provider.create(wanted).instances) == len(names)


def test_a_prepared_farm_may_have_machines_and_is_removed_without_a_rest(
    aws: FakeAws, run: Run, tmp_path: Path
) -> None:
    done = run("cloud", "prepare", "--json")
    assert done.returncode == 0, done.stderr
    made, label = json.loads(done.stdout), DataFolder(tmp_path).label()
    assert (made["provider"], made["farm"], made["made"]["region"]) == ("aws", label, REGION)
    again = run("cloud", "prepare")
    assert again.returncode == 0, again.stderr
    assert made["made"]["bucket"] in again.stdout
    checked = json.loads(run("cloud", "doctor", "--json").stdout)["checks"]
    assert next(check["state"] for check in checks_named(checked, "set-up")) == "ok", "of this farm, not of another"
    launch(tmp_path, "agent-1", "agent-2")

    asked = run("cloud", "remove")
    assert asked.returncode == 1
    assert "would be removed from aws: say --yes" in asked.stderr
    assert len([m for m in aws.machines(label) if m.ended_at is None]) == 2

    done = run("cloud", "remove", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    removed = json.loads(done.stdout)
    assert removed["remains"] == []
    assert f"bucket {made['made']['bucket']}" in removed["removed"]
    assert [m for m in aws.machines(label) if m.ended_at is None] == []
    nothing = run("cloud", "remove")
    assert (nothing.returncode, nothing.stdout) == (0, f"aws lists nothing of farm {label} any more.\n")


def checks_named(checks: list[dict[str, str]], name: str) -> list[dict[str, str]]:
    return [check for check in checks if check["name"] == name]


def test_what_cannot_be_removed_is_a_failure(aws: FakeAws, run: Run) -> None:
    assert run("cloud", "prepare").returncode == 0
    aws.fail("DeleteLaunchTemplate", "UnauthorizedOperation", status=403)
    done = run("cloud", "remove", "--yes")
    assert done.returncode == 1
    assert "DeleteLaunchTemplate" in done.stderr or "launch template" in done.stderr
    assert run("cloud", "remove", "--yes").returncode == 0


def test_a_person_is_asked_with_all_that_goes_before_his_eyes(
    aws: FakeAws, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(text: str, **_: object) -> bool:
        asked.append(text)
        raise click.Abort

    assert run("cloud", "prepare").returncode == 0
    monkeypatch.setattr(cloud_account.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(cloud_account.click, "confirm", refuse)
    done = run("cloud", "remove")
    assert (done.returncode != 0, len(asked)) == (True, 1)
    assert "security group sg-" in done.stderr
    assert run("cloud", "remove", "--yes", "--json").stdout.count("security group sg-") == 2


def test_a_folder_that_was_never_a_farms_has_nothing_to_remove(aws: FakeAws, run: Run, tmp_path: Path) -> None:
    before = len(aws.calls)
    done = run("cloud", "remove", "--yes", "--data", tmp_path / "other")
    assert done.returncode == 1
    assert "has no label" in done.stderr
    assert len(aws.calls) == before
    assert not (tmp_path / "other").exists()


class Machines:
    """A provider that has no more than machines; each needs to be told twice."""

    def __init__(self, *names: str) -> None:
        self.told = dict.fromkeys(names, 0)
        self.stubborn = False

    def list(self) -> list[Instance]:
        gone = lambda told: told > 1 and not self.stubborn  # noqa: E731
        states = {True: InstanceState.GONE, False: InstanceState.RUNNING}
        return [Instance(name, states[gone(told)]) for name, told in self.told.items()]

    def destroy(self, names: list[str]) -> None:
        for name in names:
            self.told[name] += 1


def test_machines_of_other_clouds_are_ended_and_waited_for() -> None:
    machines, slept = Machines("agent-1", "agent-2"), [0.0]
    account: Account = MachinesAlone(machines, lambda: slept[0], lambda s: slept.append(s))  # type: ignore[arg-type]
    assert account.remains() == ["machine agent-1", "machine agent-2"]
    account.remove()
    assert (account.remains(), machines.told) == ([], {"agent-1": 2, "agent-2": 2})


def test_machines_that_do_not_end_are_named_at_last() -> None:
    machines, now = Machines("agent-1"), [0.0]
    machines.stubborn = True
    account = MachinesAlone(machines, lambda: now[0], lambda s: now.__setitem__(0, now[0] + s))  # type: ignore[arg-type]
    account.remove()
    assert account.remains() == ["machine agent-1"]
    assert now[0] >= cloud_account.END_LIMIT_S
