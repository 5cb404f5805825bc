"""The farm under test: its service on a folder, its jobs submitted, its processes watched, its ledger checked."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.simulator.options import Options
from bench.simulator.pictures import LAYER, SIZE
from bench.simulator.redis_wire import RedisWire
from blendnet.cli import farm_process
from blendnet.cli.connect import connection_of
from blendnet.client import LocalFile, ManagerClient
from blendnet.manager.folder import DataFolder, FarmFile
from blendnet.manager.ledger import Ledger
from blendnet.manager.merges import covers
from blendnet.messages import (
    Blob,
    FileEntry,
    JobSettings,
    JobSubmission,
    JobView,
    LayerSamples,
    SceneDescription,
)
from blendnet.models import State

SCENE = b"a scene that nobody opens"
CHUNK_SAMPLES = 4
MIB = 1 << 20


@dataclass(frozen=True)
class Load:
    """What the farm's processes have used so far, and hold now."""

    at_s: float
    """Monotonic time."""
    completed: int
    service_cpu_s: float
    control_cpu_s: float
    redis_cpu_s: float
    service_mib: float
    control_mib: float
    redis_mib: float
    redis_keys: int
    ledger_mib: float


class Farm:
    """A running service without agents."""

    def __init__(self, folder: DataFolder, file: FarmFile) -> None:
        self._folder = folder
        self.file = file
        self.socket_path = file.broker_url.removeprefix("redis+socket://")
        self.agent_password_file = Path(file.password_file).with_name("agent-password")
        self._wire = RedisWire(self.socket_path)
        self._ended_control_cpu_s: dict[int, float] = {}

    def client(self) -> ManagerClient:
        """A client with the owner's login."""
        return ManagerClient(connection_of(self.file))

    def submit(self, options: Options) -> list[str]:
        """Upload the scene and submit the jobs; their ids."""
        blob = Blob(sha256=hashlib.sha256(SCENE).hexdigest(), size_bytes=len(SCENE))
        with tempfile.NamedTemporaryFile() as scene, self.client() as client:
            scene.write(SCENE)
            scene.flush()
            client.upload([LocalFile(Path(scene.name), blob)])
            return [client.submit(_submission(options, blob, number)).id for number in range(options.jobs)]

    def jobs(self) -> list[JobView]:
        """The jobs as their owner sees them."""
        with self.client() as client:
            return client.jobs()

    async def load(self, completed: int) -> Load:
        """What the processes use now."""
        service = psutil.Process(self.file.pid)
        control, redis = self._children(service)
        memory = await self._wire.call("INFO", "memory")
        used = next(line for line in memory.splitlines() if line.startswith(b"used_memory:"))
        ledger = (self._folder.root / name for name in ("ledger.sqlite", "ledger.sqlite-wal"))
        return Load(
            at_s=time.monotonic(),
            completed=completed,
            service_cpu_s=_cpu_s(service),
            control_cpu_s=self._control_cpu_s(control),
            redis_cpu_s=sum(map(_cpu_s, redis)),
            service_mib=_mib(service),
            control_mib=sum(map(_mib, control)),
            redis_mib=int(used.partition(b":")[2]) / MIB,
            redis_keys=await self._wire.call("DBSIZE"),
            ledger_mib=sum(path.stat().st_size for path in ledger if path.exists()) / MIB,
        )

    def hang_up(self) -> None:
        """Cut the connection to Redis that `load` and `redis_left` use."""
        self._wire.cut()

    async def redis_left(self) -> dict[str, int]:
        """Beginning of the name -> number of Redis keys, and entries of the unacknowledged messages."""
        keys = await self._wire.call("KEYS", "*")
        found = Counter(_kind(key.decode()) for key in keys)
        found["unacked entries"] = await self._wire.call("HLEN", "unacked")
        return dict(found)

    def problems(self) -> list[str]:
        """What in the ledger is not as the invariant wants it, read from the database itself."""
        ledger, found = Ledger(f"sqlite:///{self._folder.root / 'ledger.sqlite'}"), []
        try:
            with ledger.read() as tx:
                for job in tx.jobs.all():
                    if job.state is not State.COMPLETED:
                        found.append(f"job {job.id} is {job.state.value}: {job.message}")
                    for frame in tx.frames.page(job.id, after=-1, limit=job.frames_total):
                        if frame.state is not State.COMPLETED or frame.merged is None:
                            found.append(f"frame {frame.id} is {frame.state.value} in stage {frame.stage.value}")
                        if not covers([segment.range for segment in tx.segments.of_frame(frame.id)], frame.samples):
                            found.append(f"frame {frame.id} is not covered exactly once")
        finally:
            ledger.close()
        return found

    def _children(self, service: psutil.Process) -> tuple[list[psutil.Process], list[psutil.Process]]:
        """Processes of the control worker, and of Redis."""
        control, redis = [], []
        for process in service.children(recursive=True):
            try:
                name = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            (control if "blendnet.manager.control" in name or "celery" in name else redis).append(process)
        return control, redis

    def _control_cpu_s(self, processes: list[psutil.Process]) -> float:
        """Its pool child is renewed now and then: what the old ones used counts, too."""
        self._ended_control_cpu_s |= {process.pid: _cpu_s(process) for process in processes}
        return sum(self._ended_control_cpu_s.values())


@contextmanager
def running(options: Options) -> Iterator[Farm]:
    """A farm on the folder of the options, gone afterwards; a temporary folder goes with it."""
    with tempfile.TemporaryDirectory(prefix="blendnet-simulator-") as name:
        folder = DataFolder(options.data or Path(name))
        starting = farm_process.FarmStart(folder, agents=0, private=True)
        try:
            yield Farm(folder, starting.wait())
        finally:
            starting.end()


def _submission(options: Options, blob: Blob, number: int) -> JobSubmission:
    samples = options.chunks_per_frame * CHUNK_SAMPLES
    files = ["scene.blend", *(f"textures/{n:06d}.png" for n in range(options.files - 1))]
    return JobSubmission(
        name=f"simulated {number + 1}",
        scene="scene.blend",
        files=[FileEntry(path=path, sha256=blob.sha256, size_bytes=blob.size_bytes) for path in files],
        settings=JobSettings(
            frames=list(range(1, options.frames_per_job + 1)),
            samples=samples,
            chunk_samples=CHUNK_SAMPLES,
            blender="4.5.15",
        ),
        description=SceneDescription(
            blender="4.5.15",
            scene="Scene",
            engine="CYCLES",
            has_camera=True,
            frame_start=1,
            frame_end=options.frames_per_job,
            width=SIZE,
            height=SIZE,
            samples=samples,
            layers=[LayerSamples(name=LAYER, samples=samples)],
            sample_method="subset",
        ),
    )


def _kind(key: str) -> str:
    """What a key is for: its name up to the first id."""
    for prefix in ("celery-task-meta-", "celery-taskset-meta-", "_kombu.binding."):
        if key.startswith(prefix):
            return prefix + "*" + (key[-2:] if key[-2:-1] == "." else "")
    return key


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def _mib(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / MIB
    except psutil.NoSuchProcess:
        return 0.0
