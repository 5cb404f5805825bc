"""Workers of agents as processes, with a real Manager API and Redis; what they are watched with."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from blendnet.agent.blenders import Build
from blendnet.celery_app import make_app, render_queue
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
from tests.manager.served import Served, serve, wait_until

LONG_SAMPLES = 1 << 20
"""Takes much longer than any test."""
DEADLINE_S = 60.0
START_AND_EXIT_S = 8.0
"""For an idle worker to end; the machine that tests run on may be busy."""


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

    def start(self, name: str = "agent-1", *wrapper: str, manager_url: str = "", **variables: str) -> psutil.Popen:
        """Start a worker, through the command `wrapper` if given; `variables` of its environment."""
        environment = AgentEnvironment(
            data=self.folder,
            manager_url=manager_url or self.served.url,
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
                env={**os.environ, **environment.variables(name), **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self.processes.append(process)
        return process

    def notify(self, text: str, name: str = "agent-1") -> None:
        """Leave a worker a notice file."""
        (self.folder / "agents" / name / "notice.new").write_text(text)
        (self.folder / "agents" / name / "notice.new").rename(self.folder / "agents" / name / "notice")

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


@contextlib.contextmanager
def workers(folder: Path, **settings: float) -> Iterator[Rig]:
    """A rig that ends every worker it started; `settings` of the Manager that differ from the defaults."""
    processes: list[psutil.Popen] = []
    with _redis(folder) as url, serve(folder / "farm", **settings) as served:
        try:
            yield Rig(served, url, folder, processes)
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    for below in process.children(recursive=True):
                        below.kill()
                    process.kill()
                process.wait()


def until(condition: Callable[[], object]) -> None:
    wait_until(condition, DEADLINE_S)


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def rendering(rig: Rig, frame: FrameView) -> Callable[[], bool]:
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
