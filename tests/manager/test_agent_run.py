"""`blendnet agent run` as a process: an agent elsewhere that outlives its certificates and ends when it is shut out."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blendnet.security.agents import Identity, read_identity
from tests.manager.joined import OpenFarm, open_farm
from tests.manager.served import wait_until

pytestmark = pytest.mark.thorough

LIFE_S = 12.0
"""Of a certificate: an agent renews it after half of that."""
PATIENCE_S = 90.0
NAME = "workstation"


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[OpenFarm]:
    with open_farm(tmp_path, agent_certificate_s=LIFE_S) as opened:
        yield opened


@contextmanager
def running(farm: OpenFarm) -> Iterator[subprocess.Popen[bytes]]:
    """The agent; it has ended when the block has."""
    program = Path(sys.executable).with_name("blendnet")
    root = farm.folder(NAME).root
    known = ["--join", farm.url, "-", "--ca", str(farm.ca), "--name", NAME, "--dir", str(root)]
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / "log").open("wb") as log:
        with subprocess.Popen([program, "agent", "run", *known], stdin=subprocess.PIPE, stdout=log, stderr=log) as run:
            try:
                assert run.stdin
                run.stdin.write(farm.token().encode())
                run.stdin.close()
                yield run
            finally:
                run.terminate()
                try:
                    run.wait(60)
                except subprocess.TimeoutExpired:
                    run.kill()


def identity(farm: OpenFarm) -> Identity | None:
    return read_identity(farm.folder(NAME).certificate)


def heard_after(farm: OpenFarm, moment: float) -> bool:
    """True once the worker has said after a moment that it waits for work."""
    return any(
        agent.name == NAME and agent.state == "idle" and (agent.seen_at or 0.0) > moment
        for agent in farm.served.farm.agents()
    )


def test_agent_that_runs_renews_its_short_certificate_and_stays_at_work(farm: OpenFarm) -> None:
    with running(farm) as process:
        wait_until(lambda: heard_after(farm, 0.0), PATIENCE_S)
        first = identity(farm)
        assert first is not None
        assert 0 < first.expires_at - time.time() <= LIFE_S
        # What it says after the end of its first certificate, it says with a later one.
        wait_until(lambda: heard_after(farm, first.expires_at + 1), PATIENCE_S)
        later = identity(farm)
        assert later is not None
        assert (later.name, later.key_hash) == (first.name, first.key_hash)
        assert later.expires_at > first.expires_at
        assert process.poll() is None
        with farm.owner() as owner:
            owner.revoke_agent(NAME)
        assert process.wait(PATIENCE_S) == 1
    log = (farm.machines / "log").read_text()
    assert f"agent {NAME} may not work for this farm any more" in log
    assert "is not renewed yet" not in log
