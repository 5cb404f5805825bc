"""Agents of this machine beside those of others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.errors import Conflict, NotFound
from blendnet.manager.fleet import KeptAgents, LocalFleet
from blendnet.manager.supervise import Program, Supervisor, boot_log_path
from blendnet.messages import AgentReport
from blendnet.provision.base import Created, Instance, Wanted
from blendnet.provision.local import AgentEnvironment, LocalProvider
from tests.manager.farms import Kit


class Sleepers(LocalProvider):
    """A local provider whose agents only sleep."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        environment = AgentEnvironment(
            data=folder,
            manager_url="",
            manager_ca=folder,
            manager_user="",
            manager_password_file=folder,
            broker_url="",
            temporary=folder,
            local_store_dir=folder,
        )
        super().__init__(KeptAgents(supervisor), environment)
        self._supervisor, self._folder = supervisor, folder

    def create(self, wanted: Wanted) -> Created:
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        for name in wanted.names:
            log = self._folder / f"{name}.log"
            self._supervisor.start(Program(name=name, role="agent", command=command, environment=os.environ, log=log))
        return Created([Instance(name) for name in wanted.names])


@pytest.fixture
def fleet(kit: Kit, tmp_path: Path) -> Iterator[LocalFleet]:
    with Supervisor() as supervisor:
        made = LocalFleet(farm=kit.farm, supervisor=supervisor, logs=tmp_path, clock=lambda: kit.now, stop=lambda: None)
        made.use(Sleepers(supervisor, tmp_path))
        yield made


@pytest.fixture
def joined(kit: Kit) -> str:
    """A machine that has joined under the name that the first local agent would get."""
    with kit.farm.ledger.write() as tx:
        about = {"key_hash": "a" * 64, "broker_hash": "b" * 64, "joined_at": kit.now, "expires_at": kit.now + 60}
        tx.members.put("agent-1", **about)
    return "agent-1"


def test_a_farm_that_is_about_to_end_takes_no_job_and_keeps_those_it_has(kit: Kit, fleet: LocalFleet) -> None:
    taken = kit.submit()
    fleet.stop()
    with pytest.raises(Conflict, match="takes no more jobs: start it again"):
        kit.submit()
    assert [job.id for job in kit.farm.jobs()] == [taken.id]


def test_agents_of_this_machine_take_no_name_of_one_that_joined(fleet: LocalFleet, joined: str) -> None:
    assert fleet.add(2) == ["agent-2", "agent-3"]


def test_agent_of_another_machine_is_not_ended_from_here(fleet: LocalFleet, joined: str) -> None:
    with pytest.raises(Conflict, match="blendnet agent revoke agent-1"):
        fleet.remove(joined)
    with pytest.raises(Conflict, match="runs on another machine"):
        fleet.interrupt(joined, 5.0)


def test_agent_that_does_not_exist_is_not_found(fleet: LocalFleet) -> None:
    with pytest.raises(NotFound):
        fleet.remove("nobody")


def test_what_a_machine_said_that_never_joined_is_shown_as_its_log(fleet: LocalFleet, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        fleet.log("agent-7")
    (tmp_path / "agent-7.log").write_text("a file that is no agent's\n")
    with pytest.raises(NotFound):
        fleet.log("agent-7")
    boot_log_path(tmp_path, "agent-7").write_text("no network\n")
    assert fleet.log("agent-7") == "no network\n"


def test_an_agents_own_log_goes_before_what_its_machine_said(kit: Kit, fleet: LocalFleet, tmp_path: Path) -> None:
    kit.farm.report("agent-7", AgentReport(pid=1), kit.now)
    boot_log_path(tmp_path, "agent-7").write_text("it starts\n")
    assert fleet.log("agent-7") == "it starts\n"
    (tmp_path / "agent-7.log").write_text("it renders\n")
    assert fleet.log("agent-7") == "it renders\n"
