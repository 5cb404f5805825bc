"""The container that the Dockerfile makes is an agent of a real farm: `make container` (root, podman, network).

BLENDNET_TEST_CONTAINERS: the folder in which worker_image/container.sh has built it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blendnet.agent.blenders import Build
from tests.conftest import ROOT
from tests.end_to_end import farms

FOLDER = os.environ.get("BLENDNET_TEST_CONTAINERS", "")
IMAGE = "blendnet-worker"
NAME = "desk-1"
JOIN_S, RENDER_S = 120.0, 400.0
STOP_S = 20
"""Longer than an agent needs to commit what it has; Docker and podman wait for 10 s unless they are told."""
pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(not FOLDER or os.geteuid() != 0, reason="needs root and podman: run `make container`"),
]


@dataclass(frozen=True)
class Running:
    """The container of one agent."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """As a user stops it; the agent's exit status."""
        podman("stop", "--ignore", "--time", str(STOP_S), NAME)
        return self.process.wait(STOP_S + 10)


def environment() -> dict[str, str]:
    """Of podman, so that it finds the images in FOLDER and none other."""
    found = {"CONTAINERS_STORAGE_CONF": f"{FOLDER}/storage.conf", "CONTAINERS_CONF": f"{FOLDER}/containers.conf"}
    return {**os.environ, **found}


def podman(*arguments: str) -> str:
    done = subprocess.run(["podman", *arguments], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A farm that renders nothing by itself."""
    data = tmp_path_factory.mktemp("manager") / "data"
    with farms.running(data, agents=0, listen="127.0.0.1", gone_after_s=60.0) as running:
        yield running


@pytest.fixture(scope="module")
def container(farm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An agent, started as docs/worker-image.md says; afterwards there is no container."""
    token = farms.blendnet("agent", "token", "--valid", "10m", "--data", farm, "--json").json
    join = ["--join", token["url"], "-", "--ca-sha256", token["ca_sha256"], "--name", NAME]
    command = ["podman", "run", "--interactive", "--network", "host", "--name", NAME, IMAGE, *join]
    log = tmp_path_factory.mktemp("container") / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=said, stderr=said)
    assert process.stdin
    process.stdin.write(f"{token['token']}\n".encode())
    process.stdin.close()
    running = Running(process, log)
    try:
        yield running
    finally:
        if process.poll() is None:
            running.stop()
        podman("rm", "--force", "--ignore", NAME)


def agent(farm: Path) -> Any:
    listed = farms.blendnet("agent", "list", "--data", farm, "--json").json
    return next((found for found in listed if found["name"] == NAME), {"state": ""})


def rendered(scene: Path, farm: Path, *options: str) -> tuple[str, farms.Result]:
    """A scene's job, and how waiting for it ended."""
    submitted = farms.blendnet("job", "submit", scene, *options, "--data", farm, "--json")
    assert submitted.code == 0, submitted.err
    job = str(submitted.json["job"])
    return job, farms.blendnet("job", "wait", job, "--data", farm, timeout_s=RENDER_S)


def test_a_container_joins_renders_leaves_and_comes_back(
    farm: Path, container: Running, bpy_build: Build, tmp_path: Path
) -> None:
    example = ROOT / "examples" / "example.blend"
    scene = farms.prepare(bpy_build, example, tmp_path / "example.blend", size=(96, 64), samples=20, frames=(1, 1, 1))
    started = time.monotonic()
    farms.wait_until(lambda: agent(farm)["state"] == "idle" or container.process.poll() is not None, "it joins", JOIN_S)
    assert container.process.poll() is None, container.log.read_text()
    joined = time.monotonic()
    assert agent(farm)["devices"] == ["CPU"]
    users = podman("top", NAME, "user").split()[1:]
    assert {*users} == {"blendnet"}, "nothing in it runs as root"

    _, waited = rendered(scene, farm, "--device", "optix")
    assert waited.code != 0
    assert "offers only CPU" in waited.err, "no GPU is an error, never a render by the CPU"

    submitted = time.monotonic()
    job, waited = rendered(scene, farm)
    took_s = time.monotonic() - submitted
    assert waited.code == 0, waited.err + container.log.read_text()
    farms.blendnet("job", "download", job, "--data", farm, "--output", tmp_path)
    (merged,) = tmp_path.glob("*_merged.exr")
    worst = farms.worst_difference(merged, farms.reference(bpy_build, scene, tmp_path / "plain"))
    assert max(worst.values()) <= 1, worst

    assert container.stop() == 0, container.log.read_text()
    assert agent(farm)["state"] == "stopped"

    podman("start", NAME)
    farms.wait_until(lambda: agent(farm)["state"] == "idle", "it is the same agent again, without a token", JOIN_S)
    podman("stop", "--time", str(STOP_S), NAME)
    assert podman("inspect", "--format", "{{.State.ExitCode}}", NAME).strip() == "0"
    sys.stdout.write(f"\njoined after {joined - started:.1f} s, a small frame took {took_s:.1f} s\n")
