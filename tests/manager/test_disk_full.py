"""A disk of the Manager that is really full: nothing fails, agents wait, and everything goes on when there is room."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from blendnet.agent.uploads import patiently
from blendnet.client import AgentClient
from blendnet.errors import DiskFull, ManagerFull
from blendnet.manager import merging
from blendnet.manager.previews import PreviewFolder
from blendnet.merge import exr
from blendnet.merge.exr import Image
from blendnet.messages import Blob, ChunkAnswer, ClaimRequest, JobView
from blendnet.models import Stage, State
from tests.manager.farms import Kit, make_kit
from tests.manager.served import Served, serve

DISK = "8m"
SEGMENT_BYTES = 1 << 20
RESERVE_BYTES = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def served(disk: Path) -> Iterator[Served]:
    """A farm whose ledger and store lie on the small disk."""
    with serve(disk / "farm", store_reserve_bytes=RESERVE_BYTES) as farm:
        yield farm


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Take all the room there is but `leave` bytes; the file that holds it."""
    path = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)
    return path


def kit_of(served: Served) -> Kit:
    return Kit(served.farm, served.data, now=0.0)


def submitted(served: Served) -> tuple[JobView, str]:
    kit = kit_of(served)
    job = kit.submit([1], samples=16, chunk_samples=8)
    return job, kit.chunk_ids(job)[0]


def commit(agent: AgentClient, chunk: str, token: int, file: Path) -> ChunkAnswer:
    return agent.commit(chunk, token=token, offset=0, count=8, path=file)


def test_agent_keeps_its_samples_until_there_is_room_and_nothing_counts_as_failed(
    served: Served, disk: Path, tmp_path: Path
) -> None:
    job, chunk = submitted(served)
    file = tmp_path / "segment.exr"
    file.write_bytes(os.urandom(SEGMENT_BYTES))
    with served.agent() as agent:
        claim = agent.claim(chunk, ClaimRequest(agent="agent1"))
        filler = fill(disk)
        with pytest.raises(ManagerFull, match="no space left"):
            commit(agent, chunk, claim.token, file)
        timer = threading.Timer(1.0, filler.unlink)
        timer.start()
        patiently(lambda: commit(agent, chunk, claim.token, file), stop=threading.Event())
        timer.join()
    [done, other] = served.farm.chunks(kit_of(served).frame(job))
    assert (done.state, done.attempts, done.message) == (State.COMPLETED, 1, "")
    assert other.state is State.CREATED
    assert served.farm.job(job.id).samples_done == 8
    assert list((served.store.root / "uploads").iterdir()) == []


def test_no_work_is_handed_out_while_there_is_no_room_for_its_results(served: Served, disk: Path) -> None:
    _, chunk = submitted(served)
    with served.agent() as agent:
        filler = fill(disk, leave=RESERVE_BYTES - 4096)
        assert agent.claim(chunk, ClaimRequest(agent="agent1")).state == "later"
        filler.unlink()
        assert agent.claim(chunk, ClaimRequest(agent="agent1")).state == "render"


def test_ledger_on_a_full_disk_says_so_and_is_whole_afterwards(disk: Path) -> None:
    kit = make_kit(disk / "farm", store_reserve_bytes=0)
    job = kit.submit([1], samples=16, chunk_samples=8)
    filler = fill(disk)
    many = [Blob(sha256=f"{number:064x}", size_bytes=1) for number in range(100_000)]
    with pytest.raises(DiskFull, match="no space left"):
        kit.farm.note_blobs(many, kit.now)
    filler.unlink()
    kit.complete(job)
    with kit.farm.ledger.read() as tx:
        assert tx.audit.integrity() == []
        assert tx.audit.miscounts() == []
    kit.farm.ledger.close()


def test_merge_waits_for_room(disk: Path) -> None:
    kit = make_kit(disk / "farm", store_reserve_bytes=RESERVE_BYTES)
    job = kit.farm.submit(kit.submission(samples=8, chunk_samples=8), kit.now)
    [chunk] = kit.chunk_ids(job)
    kit.farm.commit(chunk, kit.claim(chunk).token, 0, 8, noise(kit), kit.now)
    filler = fill(disk, leave=RESERVE_BYTES // 2)
    for _ in range(2 * kit.farm.settings.max_attempts):
        assert not merging.merge_in(kit.farm, kit.frame(job), clock=lambda: kit.now)
        kit.later(60)
    [frame] = kit.farm.frames(job.id)
    assert (frame.state, frame.stage) == (State.ACTIVE, Stage.MERGE)
    assert "no space left" in frame.message
    assert list((kit.farm.store.root / "uploads").iterdir()) == []
    filler.unlink()
    assert merging.merge_in(kit.farm, kit.frame(job), clock=lambda: kit.now)
    kit.farm.ledger.close()


def noise(kit: Kit) -> Blob:
    """A stored EXR of a megabyte that cannot be packed."""
    chance = np.random.default_rng(1)
    planes = {f"ViewLayer.Combined.{channel}": chance.random((256, 256), np.float32) for channel in "RGBA"}
    path = kit.folder / "noise.exr"
    exr.write(path, Image(planes, exr.header_for(256, 256)), compression="ZSTD")
    blob = kit.farm.store.put_file(path)
    return Blob(sha256=blob.sha256, size_bytes=blob.size_bytes)


def test_preview_that_finds_no_room_says_so_and_leaves_nothing(disk: Path) -> None:
    folder = disk / "previews"
    fill(disk)
    with pytest.raises(DiskFull, match="no space left"), PreviewFolder(folder).replacing("chunk", b"x" * 65536):
        pass
    assert not folder.exists() or list(folder.iterdir()) == []
