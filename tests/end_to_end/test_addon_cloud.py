"""The add-on makes a farm in a cloud, uses, stops, starts and removes it: a real Blender, at AWS' fake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from addon import build, wheel
from blendnet.agent.blenders import Build
from blendnet.manager.folder import DataFolder
from blendnet.provision.bootstrap_manager import MANAGER_FILE
from tests.end_to_end import farms, manager_life
from tests.end_to_end.aws_box import Aws
from tests.end_to_end.cloud_box import IMAGE, boxed, variables, written_files
from tests.end_to_end.manager_box import boxed_managers
from tests.provision.moto_server import REGION, FakeAws, environment, running_aws

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]
SCRIPT = farms.HERE / "scripts" / "addon_cloud.py"
MACHINE = "c5.large"
OPTIONS = "image=ami-12c6146b; manager_image=ami-12c6146b; prices=c5.large=0.09, c5.large/spot=0.036, m6i.large=0.1"
CHOSEN = {
    "fleet_machines": MACHINE, "fleet_max": "4", "fleet_on_demand": "fallback", "cap_day_usd": "3.0",
    "fleet_price_max_usd": "0.125",
}  # fmt: skip
"""What the script chooses, as the Manager has it: four machines and the Manager keep a cap of $0.60 an hour."""
ENDED = 5
"""Exit status of a Manager that was told to end: its machine powers itself off."""
LIMIT_S = 500.0
NOT_IDLE = {"fleet_poll_s": "1", "fleet_boot_s": "3", "fleet_end_delay_s": "5", "manager_idle_s": "600"}
"""Settings of the owner: the Manager stops when it is told to."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAws]:
    """A fake AWS with TLS, to which every process that the test starts is sent."""
    with running_aws(tmp_path / "tls") as fake:
        for name, value in environment(fake).items():
            monkeypatch.setenv(name, value)
        for name, value in {**NOT_IDLE, "cloud_options": OPTIONS}.items():
            monkeypatch.setenv(f"BLENDNET_{name.upper()}", value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield fake


def test_addon_makes_uses_stops_starts_and_removes_a_farm_in_a_cloud(
    aws: FakeAws, blender34: Build, tmp_path: Path
) -> None:
    data, cloud = tmp_path / "data", Aws(aws)
    with (
        boxed(cloud, tmp_path / "agents", **IMAGE) as agents,
        boxed_managers(cloud, tmp_path / "managers", **manager_life.QUICK) as managers,
    ):
        done = run(blender34, tmp_path, data)
        said = done.stdout[-5000:] + done.stderr[-3000:] + managers.log() + agents.log()
        assert done.returncode == 0, said
        assert (agents.trouble, managers.trouble, managers.ended) == ("", "", [ENDED, ENDED]), said
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    checks = {one["name"]: one["state"] for one in answers if "help" in one}
    assert checks["credentials"] == "ok"
    states = [one["machine"]["state"] for one in answers if "machine" in one]
    assert states == ["running", "stopped", "running"]
    assert [one["troubles"] for one in answers if "troubles" in one] == [[]]
    (user_data,) = {one.user_data for one in aws.machines() if MANAGER_FILE in one.user_data}
    said = variables(written_files(user_data)[MANAGER_FILE])
    assert {name: said[f"BLENDNET_{name.upper()}"] for name in CHOSEN} == CHOSEN
    wheels = {path.read_bytes() for path in (tmp_path / "managers").rglob("blendnet-*.whl")}
    assert wheels == {wheel.make()}, "the machines are made of what the add-on brings"
    assert [one for one in aws.machines() if one.ended_at is None] == []
    left = farms.blendnet("cloud", "remains", "--provider", "aws", "--region", REGION, "--data", data, "--json")
    assert left.json["there"] == []
    assert not DataFolder(data).cloud_note.exists()
    assert farms.processes_mentioning(tmp_path) == []


def run(blender: Build, folder: Path, data: Path) -> subprocess.CompletedProcess[str]:
    """The script in a Blender whose settings are in `folder`."""
    (folder / "scripts" / "addons").mkdir(parents=True)
    zip_file = folder / "blendnet_addon.zip"
    build.build(zip_file)
    scene = farms.prepare(blender, "", folder / "shot.blend", size=(96, 64), samples=8)
    plan = {
        "zip": str(zip_file), "data": str(data), "region": REGION, "machine": MACHINE,
        "command": str(Path(sys.executable).with_name("blendnet")),
    }  # fmt: skip
    own = {
        "BLENDNET_ADDON_FOLDER": str(folder / "kept"),
        "BLENDER_USER_SCRIPTS": str(folder / "scripts"),
        "BLENDER_USER_CONFIG": str(folder / "config"),
    }
    head = [str(blender.path), "-b", "--factory-startup", "-noaudio", str(scene), "--python-exit-code", "1"]
    return subprocess.run(
        [*head, "--python", str(SCRIPT), "--", json.dumps(plan)],
        env={**os.environ, **own}, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
