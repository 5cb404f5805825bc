"""A farm whose Manager is a machine of EC2, from `cloud up` to `cloud destroy`, as its owner goes through it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from blendnet.manager.folder import DataFolder
from tests.end_to_end import farms, manager_life
from tests.end_to_end.aws_box import Aws
from tests.end_to_end.cloud_box import IMAGE, PATIENCE_S, Box, boxed
from tests.end_to_end.manager_box import boxed_managers
from tests.provision.moto_server import REGION, FakeAws, environment, running_aws

pytestmark = pytest.mark.end_to_end
OPTIONS = "image=ami-12c6146b; manager_image=ami-12c6146b; prices=c5.large=0.09, c5.large/spot=0.036, m6i.large=0.1"
CARRIED = {
    **manager_life.CARRIED,
    "cloud_provider": "aws", "cloud_region": REGION, "cloud_options": OPTIONS, "fleet_machines": "c5.large",
}  # fmt: skip

SMOKE_TEST = Path(__file__).resolve().parents[2] / "examples" / "cloud_smoke.sh"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAws]:
    """A fake AWS with TLS, to which every process that the test starts is sent, with the owner's settings."""
    with running_aws(tmp_path / "tls") as fake:
        for name, value in environment(fake).items():
            monkeypatch.setenv(name, value)
        for name, value in CARRIED.items():
            monkeypatch.setenv(f"BLENDNET_{name.upper()}", value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield fake


def test_a_manager_comes_renders_stops_itself_starts_again_knowing_its_jobs_and_goes_without_a_rest(
    aws: FakeAws, clevr: Path, bpy_build: Build, tmp_path: Path
) -> None:
    data, out, cloud = tmp_path / "data", tmp_path / "out", Aws(aws)

    def rendered() -> None:
        assert [one.spot for one in aws.machines(DataFolder(data).label()) if one.name] == [True]

    with (
        ThreadPoolExecutor(1) as aside,
        boxed(cloud, tmp_path / "agents", **IMAGE) as agents,
        boxed_managers(cloud, tmp_path / "managers", **manager_life.QUICK) as managers,
    ):
        reference = aside.submit(farms.reference, bpy_build, clevr, tmp_path / "plain")
        box = Box(cloud, agents, data, log=managers.log)
        made, started = manager_life.live(box, managers, clevr, out, rendered)
        worst = farms.worst_difference(next(out.glob("*_merged.exr")), reference.result())
        assert max(worst.values()) <= 1
    assert started["manager"]["url"] != made["manager"]["url"], "its address is another one"
    assert box.shown("cloud", "remains", "--region", REGION)["there"] == []
    assert [machine for machine in aws.machines(DataFolder(data).label()) if machine.ended_at is None] == []
    assert farms.processes_mentioning(tmp_path) == []


def test_the_paid_test_makes_a_manager_in_the_cloud_and_leaves_nothing_behind(
    aws: FakeAws, frame: Path, tmp_path: Path
) -> None:
    data, cloud = tmp_path / "data", Aws(aws)
    said = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SMOKE_DATA": str(data),
        "SMOKE_LOOK_S": "1",
        "BLENDNET_FLEET_IDLE_S": "3",
        "BLENDNET_MANAGER_IDLE_S": "900",  # It is not to stop itself while a slow machine opens the scene.
        "BLENDNET_WORKER_BUNDLE": str(manager_life.pack(tmp_path / "bundle")),
    }
    with (
        boxed(cloud, tmp_path / "agents", **IMAGE) as agents,
        boxed_managers(cloud, tmp_path / "managers", **manager_life.QUICK) as managers,
    ):
        command = [SMOKE_TEST, "aws", frame]
        done = subprocess.run(
            command, env=os.environ | said, capture_output=True, text=True, check=False, timeout=3 * PATIENCE_S
        )
        assert done.returncode == 0, done.stdout + done.stderr + managers.log() + agents.log()
        assert (agents.trouble, managers.trouble) == ("", "")
    launched = aws.machines(DataFolder(data).label())
    named = [machine for machine in launched if machine.name]
    assert (len(named) >= 2, len(launched) - len(named)) == (True, 1), "one was ended and replaced; one Manager"
    assert [machine for machine in launched if machine.ended_at is None] == []
    assert next((data / "pictures").glob("*_merged.exr")).stat().st_size > 0
    assert "nothing of the farm is left in the account" in done.stderr
    bill = done.stdout.rpartition(" is there.")[2]
    assert [f"\n{name} " in bill for name in ("boot", "Manager", "total")] == [True] * 3, done.stdout
    assert farms.processes_mentioning(tmp_path) == []
