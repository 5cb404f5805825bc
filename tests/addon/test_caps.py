"""A job at its cap, as the panel shows it: what the Manager proposes, and the way on without a shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from addon.blendnet_addon.lib.connection import Http, Login
from addon.blendnet_addon.lib.manager import Manager
from addon.blendnet_addon.lib.words import without_command
from blendnet.messages import AgentReport
from blendnet.models import State
from blendnet.security.credentials import OWNER, PASSWORD_FILES, read_password
from tests.manager.farms import Kit
from tests.manager.served import serve

CAP_USD = 100.0


@pytest.fixture
def paused(tmp_path: Path) -> Iterator[tuple[Manager, str]]:
    """A Manager whose agent costs a dollar a second, and a job that its cap has paused."""
    with serve(tmp_path / "farm", agent_usd_per_hour=3600.0) as served:
        kit = Kit(served.farm, tmp_path)
        kit.farm.report("agent1", AgentReport(pid=1), kit.now)
        job = kit.submit([1], cap_usd=CAP_USD, samples=64, chunk_samples=64)
        kit.farm.look(kit.now)
        claim = kit.claim(kit.chunk_ids(job)[0])
        while kit.farm.job(job.id).state is not State.PAUSED:
            kit.farm.heartbeat(kit.chunk_ids(job)[0], claim.token, kit.now, 0, sample_s=5.0, rest_s=300.0)
            kit.farm.look(kit.later(1))
        password = read_password(served.data / PASSWORD_FILES[OWNER])
        http = Http(Login(served.url, served.certificate.ca.read_text("ascii"), OWNER, password))
        try:
            yield Manager(http), job.id
        finally:
            http.close()


def test_job_at_its_cap_goes_on_with_the_one_that_its_message_proposes(paused: tuple[Manager, str]) -> None:
    manager, job_id = paused
    job = manager.job(job_id)
    proposed = job["cap_proposed_usd"]
    assert proposed > CAP_USD
    assert job["message"].endswith(f" with `blendnet job cap {job_id} {proposed:g}`")
    told = without_command(job["message"])
    assert told.startswith("its cap of $100.00 leaves no room for more: ")
    assert told.endswith(" spent.")
    after = manager.set_cap(job_id, proposed)
    assert (after["cap_usd"], after["state"], after["cap_proposed_usd"]) == (proposed, "queued", None)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("", ""),
        ("frame 1: crash", "frame 1: crash"),
        ("the cap will not do. Raise it with `blendnet job cap a 2.5`", "the cap will not do."),
        ("all is spent. Raise it and go on with `blendnet job cap a 1e+06`", "all is spent."),
    ],
)
def test_what_the_manager_says_is_told_without_its_command(message: str, told: str) -> None:
    assert without_command(message) == told
