"""The worker of an agent as a process, with a real Manager API, Redis and Blender."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from blendnet.agent.blenders import Build
from blendnet.agent.worker import STOP_LIMIT_S, arguments
from blendnet.celery_app import AGENT_QUEUES, make_app, render_queue
from blendnet.client import LocalFile, blob_of
from blendnet.manager import broker
from blendnet.messages import (
    AgentView,
    ChunkView,
    FileEntry,
    FrameView,
    JobSettings,
    JobSubmission,
    LayerSamples,
    SceneDescription,
)
from blendnet.models import State, Strategy
from blendnet.provision.local import WORKER_MODULE, AgentEnvironment
from blendnet.security.credentials import AGENT, PASSWORD_FILES
from tests.agent.render_scenes import MAKE_SCENE
from tests.agent.scripted import run_script
from tests.manager.served import Served, serve, wait_until

LONG_SAMPLES = 1 << 20
"""Takes much longer than any test."""
DEADLINE_S = 60.0
START_AND_EXIT_S = 8.0
"""For an idle worker to end; the machine that tests run on may be busy."""


@pytest.fixture(scope="session")
def long_scene(bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    run_script(bpy_build, MAKE_SCENE, folder, scene=folder / "scene.blend", two_layers=False)
    return folder / "scene.blend"


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """A server of its own; its URL."""
    socket = folder / broker.SOCKET_NAME
    command = broker.server_command(broker.find_server(), socket_path=socket, folder=folder)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            assert broker.wait_until_ready(socket, alive=lambda: server.poll() is None)
            yield broker.broker_url(socket)
        finally:
            server.kill()


@dataclass
class Rig:
    """A Manager without dispatcher: the test publishes by itself."""

    served: Served
    broker_url: str
    folder: Path
    processes: list[psutil.Popen]

    def start(self, name: str = "agent-1", *wrapper: str) -> psutil.Popen:
        """Start a worker, through the command `wrapper` if given."""
        environment = AgentEnvironment(
            data=self.folder,
            manager_url=self.served.url,
            manager_ca=self.served.certificate.ca,
            manager_user=AGENT,
            manager_password_file=self.served.data / PASSWORD_FILES[AGENT],
            broker_url=self.broker_url,
            temporary=self.folder,
            local_store_dir=self.served.data / "store",
        )
        with (self.folder / f"{name}.log").open("ab") as log:
            process = psutil.Popen(
                [*wrapper, sys.executable, "-m", WORKER_MODULE],
                env={**os.environ, **environment.variables(name)},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self.processes.append(process)
        return process

    def agent(self, name: str = "agent-1") -> AgentView | None:
        return next((agent for agent in self.served.farm.agents() if agent.name == name), None)

    def log(self, name: str = "agent-1") -> str:
        return (self.folder / f"{name}.log").read_text()

    def submit(self, scene: Path, build: Build, *, samples: int = LONG_SAMPLES) -> tuple[FrameView, ChunkView]:
        """Submit one frame as one chunk, and publish it."""
        with self.served.owner() as owner:
            file = LocalFile(scene, blob_of(scene))
            owner.upload([file])
            job = owner.submit(_submission(scene, file, build, samples))
            (frame,) = owner.frames(job.id)
            (chunk,) = owner.chunks(job.id, frame=frame.number)
        app = make_app(self.broker_url, 3600)
        app.send_task("blendnet.render_chunk", [chunk.id], task_id=chunk.id, queue=render_queue(0), ignore_result=True)
        app.close()
        return frame, chunk

    def queued(self) -> int:
        """Messages waiting in the render queue."""
        with make_app(self.broker_url, 3600).connection_for_read() as connection:
            return connection.default_channel.client.llen(render_queue(0))

    def chunk(self, frame: FrameView) -> ChunkView:
        return self.served.farm.chunks(frame.id)[0]


def _submission(scene: Path, file: LocalFile, build: Build, samples: int) -> JobSubmission:
    layers = [LayerSamples(name="Main", samples=samples)]
    description = SceneDescription(
        blender=build.version, scene="Scene", engine="CYCLES", has_camera=True, frame_start=1, frame_end=1,
        width=96, height=54, samples=samples, layers=layers, sample_method="subset",
    )  # fmt: skip
    return JobSubmission(
        name="long", scene=scene.name, root=str(scene.parent),
        files=[FileEntry(path=scene.name, sha256=file.blob.sha256, size_bytes=file.blob.size_bytes)],
        settings=JobSettings(frames=[1], samples=samples, strategy=Strategy.FRAME, blender=build.version),
        description=description,
    )  # fmt: skip


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    processes: list[psutil.Popen] = []
    with _redis(tmp_path) as url, serve(tmp_path / "farm", sub_pass_s=0.5, preview_interval_s=0.5) as served:
        try:
            yield Rig(served, url, tmp_path, processes)
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    for below in process.children(recursive=True):
                        below.kill()
                    process.kill()
                process.wait()


def _until(condition: Callable[[], object]) -> None:
    wait_until(condition, DEADLINE_S)


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _all_gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def _rendering(rig: Rig, frame: FrameView) -> Callable[[], bool]:
    """True once the agent renders and its Blender is known."""

    def check() -> bool:
        agent = rig.agent()
        active = rig.chunk(frame).state is State.ACTIVE
        return (
            active
            and rig.served.farm.frame(frame.id.split(".")[0], 1).preview_samples > 0
            and bool(agent and agent.blender_pid)
        )

    return check


def test_worker_reports_itself_and_ends_at_once_when_idle(rig: Rig) -> None:
    worker = rig.start()
    _until(lambda: (agent := rig.agent()) and agent.state == "idle")
    agent = rig.agent()
    assert agent is not None
    assert agent.pid == worker.pid
    family = _family(worker)
    worker.terminate()
    assert worker.wait(START_AND_EXIT_S) == 0, rig.log()
    assert _all_gone(family)
    assert rig.agent().state == "stopped"  # type: ignore[union-attr]


def test_worker_told_to_end_commits_and_gives_back_its_chunk(rig: Rig, long_scene: Path, bpy_build: Build) -> None:
    worker = rig.start()
    frame, _ = rig.submit(long_scene, bpy_build)
    _until(_rendering(rig, frame))
    family = _family(worker)
    worker.terminate()
    assert worker.wait(STOP_LIMIT_S) == 0, rig.log()
    assert _all_gone(family)
    chunk = rig.chunk(frame)
    assert chunk.done > 0
    assert chunk.state in (State.CREATED, State.QUEUED)
    assert rig.queued() == 1


def test_worker_killed_takes_its_blender_along(rig: Rig, long_scene: Path, bpy_build: Build) -> None:
    worker = rig.start()
    frame, _ = rig.submit(long_scene, bpy_build)
    _until(_rendering(rig, frame))
    family = _family(worker)
    assert rig.agent().blender_pid in {process.pid for process in family}  # type: ignore[union-attr]
    worker.kill()
    _until(lambda: _all_gone(family))


def test_worker_goes_on_with_the_chunk_when_its_pool_child_is_killed(
    rig: Rig, long_scene: Path, bpy_build: Build
) -> None:
    worker = rig.start()
    frame, _ = rig.submit(long_scene, bpy_build)
    _until(_rendering(rig, frame))
    (child,) = worker.children()
    below = _family(child)
    child.kill()
    _until(lambda: _all_gone(below))
    _until(lambda: rig.chunk(frame).attempts >= 2)
    assert worker.is_running()


def test_worker_ends_when_the_process_that_started_it_is_killed(rig: Rig) -> None:
    starter = rig.start("agent-1", sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])")
    _until(lambda: (agent := rig.agent()) and agent.state == "idle")
    worker = psutil.Process(rig.agent().pid)  # type: ignore[union-attr]
    family = _family(worker)
    starter.kill()
    starter.wait()
    _until(lambda: _all_gone(family))


def test_worker_told_twice_ends_at_once(rig: Rig, long_scene: Path, bpy_build: Build) -> None:
    worker = rig.start()
    frame, _ = rig.submit(long_scene, bpy_build)
    _until(_rendering(rig, frame))
    family = _family(worker)
    worker.send_signal(signal.SIGINT)
    _until(lambda: rig.agent().state in ("draining", "stopped"))  # type: ignore[union-attr]
    worker.terminate()
    worker.wait(STOP_LIMIT_S)
    _until(lambda: _all_gone(family))


def test_worker_takes_work_of_all_agents_queues() -> None:
    command = arguments("agent-7", "WARNING")
    assert command[command.index("--queues") + 1].split(",") == list(AGENT_QUEUES)
    assert command[command.index("--hostname") + 1] == "agent-7@%h"
