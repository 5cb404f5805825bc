"""Machines that are taken back: with a notice nothing is rendered twice, without one the work moves on at once."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from blendnet.agent.blenders import Build
from blendnet.client import ManagerClient
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end
SAMPLES = 400
LEASE_S = 60.0
"""So long that whatever happens sooner has not waited for a lease to run out."""
PATIENCE_S = 400.0

Farm = Callable[..., Path]


@pytest.fixture(scope="module")
def frame(scenes_dir: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame that takes an agent some seconds at least."""
    source = scenes_dir / "clevr_base_scene.blend"
    target = tmp_path_factory.mktemp("frame") / "frame.blend"
    return farms.prepare(bpy_build, source, target, size=(128, 80), samples=SAMPLES)


@pytest.fixture(scope="module")
def reference(frame: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one-machine render of `frame`."""
    return farms.reference(bpy_build, frame, tmp_path_factory.mktemp("reference"))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Farm]:
    """Starts a farm of 2 agents; nothing of it is left afterwards."""
    with ExitStack() as stack:
        # Where rendering is slow, an agent that comes back would be given a part of the chunk that is looked at.
        never = {"tail_worth_s": 1e6}
        farm = partial(farms.running, tmp_path / "data", gone_after_s=30, lease_s=LEASE_S, **never)
        yield lambda **settings: stack.enter_context(farm(**settings))


def submit(data: Path, scene: Path) -> str:
    """Submit the frame as one chunk; wait until the first sub-pass can be seen; the job's id."""
    done = farms.blendnet("job", "submit", scene, "--strategy", "frame", "--data", data, "--json")
    assert done.code == 0, done.err
    farms.wait_until(lambda: previewed(data), "a preview", PATIENCE_S)
    return done.json["job"]


def previewed(data: Path) -> int:
    """Samples of the newest preview."""
    [(samples,)] = ledger(data, "select preview_samples from frames")
    return samples


def shown(data: Path, job: str) -> Any:
    return farms.blendnet("job", "show", job, "--data", data, "--json").json


def agent(data: Path, name: str) -> Any:
    agents = farms.blendnet("agent", "list", "--data", data, "--json").json
    return next(agent for agent in agents if agent["name"] == name)


def with_blender(client: ManagerClient) -> dict[str, int] | None:
    """Role -> process id of the farm's processes, once a Blender is among them."""
    roles = {process.role: process.pid for process in client.farm().processes}
    return roles if "blender" in roles else None


def ledger(data: Path, query: str) -> list[tuple[Any, ...]]:
    """What the ledger holds, read beside the farm."""
    with closing(sqlite3.connect(f"file:{data / 'ledger.sqlite'}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def attempts(data: Path) -> dict[int, tuple[str, int]]:
    """Attempt -> who made it, and the samples that it committed."""
    rows = ledger(data, "select token, agent, sum(count) from segments group by token, agent")
    return {token: (name, samples) for token, name, samples in rows}


def claimed(data: Path) -> tuple[int, str]:
    """Number and agent of the newest attempt at the only chunk."""
    [(token, name)] = ledger(data, "select token, agent from chunks")
    return token, name


def interrupt(data: Path, name: str, seconds: float) -> None:
    told = farms.blendnet("agent", "interrupt", name, "--seconds", str(seconds), "--data", data)
    assert told.code == 0, told.err


def assert_completed(data: Path, job: str, reference: Path, out: Path) -> None:
    """The job completes, nothing failed, one redelivery, and the picture is that of one machine."""
    waited = farms.blendnet("job", "wait", job, "--data", data, timeout_s=PATIENCE_S)
    assert waited.code == 0, waited.err
    got = farms.blendnet("job", "download", job, "--data", data, "--output", out)
    assert got.code == 0, got.err
    job_shown = shown(data, job)
    assert (job_shown["state"], job_shown["redelivered"], job_shown["frames_failed"]) == ("completed", 1, 0)
    assert ledger(data, "select failures, token from chunks") == [(0, 2)]
    assert max(farms.worst_difference(next(out.glob("*_merged.exr")), reference).values()) <= 1


def test_no_sample_is_rendered_twice_when_a_notice_leaves_time(
    up: Farm, frame: Path, reference: Path, tmp_path: Path
) -> None:
    data = up(sub_pass_s=0.5, preview_interval_s=0.1)
    job = submit(data, frame)
    (_, name), before = claimed(data), previewed(data)
    interrupt(data, name, 120)
    left = lambda: ledger(data, f"select message from agents where name = '{name}' and state = 'interrupted'")  # noqa: E731
    assert farms.wait_until(left, "the agent has left", PATIENCE_S) == [("told to give this machine back in 120 s",)]
    assert_completed(data, job, reference, tmp_path / "out")
    made = attempts(data)
    assert made[1][0] == name
    assert made[1][1] > before
    assert made[2][0] != name
    [(rendered,)] = ledger(data, "select render_samples from jobs")
    assert rendered == made[2][1] == SAMPLES - made[1][1]
    log = farms.blendnet("job", "logs", job, "--data", data).out
    assert "interrupted: told to give this machine back in 120 s" in log
    with farms.client(data) as client:
        state = lambda: next(one.state for one in client.agents() if one.name == name)  # noqa: E731
        farms.wait_until(lambda: state() == "idle", "the agent is there again", PATIENCE_S)


def test_earlier_sub_passes_are_kept_when_a_notice_is_too_short(
    up: Farm, frame: Path, reference: Path, tmp_path: Path
) -> None:
    data = up(sub_pass_s=3600)
    job = submit(data, frame)
    _, name = claimed(data)
    interrupt(data, name, 10)
    assert_completed(data, job, reference, tmp_path / "out")
    made = attempts(data)
    assert made[1] == (name, 1)
    assert made[2][1] == SAMPLES - 1


def test_work_of_a_killed_agent_goes_to_another_before_its_lease_runs_out(
    up: Farm, frame: Path, reference: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    data = up(sub_pass_s=0.5)
    job = submit(data, frame)
    _, name = claimed(data)
    os.kill(agent(data, name)["pid"], signal.SIGKILL)
    killed_at = time.monotonic()
    farms.wait_until(lambda: claimed(data)[0] == 2, "another agent claims the chunk", LEASE_S)
    taken_s = time.monotonic() - killed_at
    record_property("claimed_after_s", round(taken_s, 2))
    assert taken_s < LEASE_S / 2
    assert claimed(data)[1] != name
    assert_completed(data, job, reference, tmp_path / "out")


def test_no_blender_is_left_when_the_farm_is_killed_while_it_renders(up: Farm, frame: Path) -> None:
    data = up(sub_pass_s=0.5)
    submit(data, frame)
    with farms.client(data) as client:
        roles = farms.wait_until(lambda: with_blender(client), "the status shows a Blender", PATIENCE_S)
    os.kill(roles["api"], signal.SIGKILL)
    farms.wait_until(lambda: not farms.processes_mentioning(data), "all processes ended", 30)
