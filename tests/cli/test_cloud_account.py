"""`blendnet cloud prepare`, `remains` and `remove`, against a served EC2."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blendnet.cli.cloud_account import END_LIMIT_S, MachinesAlone
from blendnet.manager.folder import DataFolder
from blendnet.provision.base import Instance, InstanceState
from blendnet.settings import get_settings
from tests.cli.clouds import clouds, set_settings
from tests.cli.conftest import Done
from tests.provision.aws.conftest import IMAGE
from tests.provision.moto_server import FakeAws, environment, running_aws

__all__ = ["clouds"]

Run = Callable[..., Done]


@pytest.fixture(scope="module")
def served(descriptions_of_aws: None) -> Iterator[FakeAws]:
    with running_aws() as fake:
        yield fake


@pytest.fixture
def aws(served: FakeAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """An account with nothing in it of the farm that the test has, which the commands reach."""
    served.forget()
    chosen = {"BLENDNET_CLOUD_PROVIDER": "aws", "BLENDNET_CLOUD_OPTIONS": f"image={IMAGE}"}
    for name, value in {**environment(served), **chosen}.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield served
    get_settings.cache_clear()


def there(run: Run, command: str, data: Path, *more: str) -> list[str]:
    done = run("cloud", command, "--data", str(data), "--json", *more)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)["there"]
    return found


def test_all_that_is_made_bears_the_farms_label_is_listed_and_removed(aws: FakeAws, run: Run, tmp_path: Path) -> None:
    made = there(run, "prepare", tmp_path / "one")
    label = DataFolder(tmp_path / "one").label()
    assert any(thing.startswith("security group") for thing in made)
    assert any(thing.startswith("bucket") and label in thing for thing in made)
    assert there(run, "prepare", tmp_path / "one") == made, "a second time makes nothing new"
    assert there(run, "remains", tmp_path / "one") == made
    assert there(run, "remains", tmp_path / "two") == [], "another farm's"
    assert there(run, "remove", tmp_path / "one", "--yes") == []
    assert there(run, "remains", tmp_path / "one") == []


def test_nothing_is_removed_unasked(aws: FakeAws, run: Run, tmp_path: Path) -> None:
    made = there(run, "prepare", tmp_path)
    done = run("cloud", "remove", "--data", str(tmp_path))
    assert done.returncode != 0
    assert there(run, "remains", tmp_path) == made


def test_the_doctor_looks_at_the_farm_of_the_data_folder(
    aws: FakeAws, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_settings(monkeypatch, data=str(tmp_path))
    aws.quotas = dict.fromkeys(("L-34B43A08", "L-3819A6DF", "L-1216C47A", "L-DB2E81BA"), 64.0)
    states = []
    for command in ("doctor", "prepare", "doctor"):
        done = run("cloud", command, "--json")
        if command == "doctor":
            states += [check["state"] for check in json.loads(done.stdout)["checks"] if check["name"] == "set-up"]
    assert states == ["warning", "ok"]


class Machines:
    """A provider that has no more than machines; each needs to be told twice, if it listens at all."""

    def __init__(self, *names: str, listens: bool = True) -> None:
        self.told = dict.fromkeys(names, 0)
        self.listens = listens

    def list(self) -> list[Instance]:
        gone, runs = InstanceState.GONE, InstanceState.RUNNING
        return [Instance(name, gone if self.listens and told > 1 else runs) for name, told in self.told.items()]

    def destroy(self, names: list[str]) -> None:
        for name in names:
            self.told[name] += 1


@pytest.mark.parametrize("listens", [True, False])
def test_machines_of_other_clouds_are_ended_waited_for_and_named_when_they_stay(listens: bool) -> None:
    machines, now = Machines("agent-1", "agent-2", listens=listens), [0.0]
    account = MachinesAlone(machines, lambda: now[0], lambda s: now.__setitem__(0, now[0] + s))  # type: ignore[arg-type]
    assert account.remains() == ["machine agent-1", "machine agent-2"]
    account.remove()
    assert account.remains() == ([] if listens else ["machine agent-1", "machine agent-2"])
    assert (now[0] >= END_LIMIT_S) is not listens


def test_a_provider_that_makes_nothing_says_so(run: Run, tmp_path: Path, clouds: None) -> None:
    done = run("cloud", "prepare", "--provider", "nimbus", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "nothing to be prepared" in done.stderr
