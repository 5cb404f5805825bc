"""What cannot be rendered, hangs, or is not wanted any more: it ends with its reasons, and everything else goes on."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from blendnet.agent.blenders import Build
from blendnet.celery_app import AGENT_QUEUES, make_app
from blendnet.client import ManagerClient
from blendnet.models import State
from blendnet.settings import read_farm_file
from tests.end_to_end import farms

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.end_to_end

CANCEL_LIMIT_S = 5.0
"""From the call to the end of the render call that nobody wants any more."""
LIMITED_BYTES = 1 << 30
"""Enough for a Blender with a small scene."""
LONG_CALLS = {"sub_pass_s": 120}


@pytest.fixture(scope="module")
def poisoned(bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames, the third of which takes more memory than a Blender gets."""
    target = tmp_path_factory.mktemp("poisoned") / "poisoned.blend"
    return farms.prepare(bpy_build, "", target, size=(32, 24), samples=8, frames=(1, 4, 1), hungry_frame=3)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def simple(bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames that take a second or two each."""
    target = tmp_path_factory.mktemp("simple") / "simple.blend"
    return farms.prepare(bpy_build, "", target, size=(320, 240), samples=64, frames=(1, 12, 1))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def slow(scenes_dir: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame that takes many minutes."""
    source = scenes_dir / "clevr_base_scene.blend"
    target = tmp_path_factory.mktemp("slow") / "slow.blend"
    return farms.prepare(bpy_build, source, target, size=(320, 240), samples=100_000)


@pytest.fixture(scope="module")
def long_calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data folder of a farm whose render calls take minutes."""
    with farms.running(tmp_path_factory.mktemp("long"), **LONG_CALLS) as data:
        yield data


def ask(data: Path, *command: str) -> farms.Result:
    return farms.blendnet(*command, "--data", data, "--json")


def rendering(client: ManagerClient, job: str, agents: int = 2) -> list[psutil.Process]:
    """The Blenders, once every agent renders samples of the job in a call that takes minutes."""

    def deep_in_it() -> list[psutil.Process]:
        view = client.job(job)
        pids = [one.blender_pid for one in client.agents() if one.blender_pid and psutil.pid_exists(one.blender_pid)]
        # The first call of each renders a single sample.
        deep = len(pids) == view.agents == agents and view.samples_done >= agents
        return [psutil.Process(pid) for pid in pids] if deep else []

    return farms.wait_until(deep_in_it, "all agents render", 180)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def seconds_to_end(processes: list[psutil.Process], call: Callable[[], object]) -> float:
    """Make the call and wait until the Blenders have ended."""
    assert len(processes) == 2
    started = time.monotonic()
    call()
    farms.wait_until(lambda: gone(processes), "the render calls have ended", 30)
    seconds = time.monotonic() - started
    logger.info("the render calls ended after %.2f s", seconds)
    return seconds


def submitted(data: Path, scene: Path) -> str:
    return ask(data, "job", "submit", str(scene), "--chunk-samples", "20000").json["job"]


def queued(data: Path) -> int:
    """Messages in the agents' queues."""
    app = make_app(str((read_farm_file(data) or {})["broker_url"]), 3600)
    with app.connection_for_read() as connection:
        return sum(connection.default_channel._size(queue) for queue in AGENT_QUEUES)


def test_poisoned_frame_fails_with_its_reasons_and_the_others_are_rendered(poisoned: Path, tmp_path: Path) -> None:
    with farms.running(tmp_path / "data", blender_memory_bytes=LIMITED_BYTES) as data:
        job = ask(data, "job", "submit", str(poisoned), "--chunk-samples", "8").json["job"]
        assert farms.blendnet("job", "wait", job, "--data", data).code == 1
        shown = ask(data, "job", "show", job).json
        attempts = ask(data, "job", "attempts", job).json
        text = farms.blendnet("job", "attempts", job, "--frame", "3", "--log", "--data", data).out
    assert [frame["state"] for frame in shown["frames"]] == ["completed", "completed", "failed", "completed"]
    assert (shown["state"], shown["frames_completed"], shown["frames_failed"]) == ("failed", 3, 1)
    message = shown["frames"][2]["message"]
    assert message.startswith("samples 0-8 failed 3 times: memory on agent-")
    assert {attempt["frame"] for attempt in attempts} == {3}
    assert [attempt["reason"] for attempt in attempts] == ["memory"] * 3
    assert {attempt["agent"] for attempt in attempts} == {"agent-1", "agent-2"}
    assert all(100 << 20 < attempt["peak_memory_bytes"] < 2 * LIMITED_BYTES for attempt in attempts)
    assert all(attempt["progress"].endswith("of 8 samples") for attempt in attempts)
    assert "--- frame 3, chunk 0-8, attempt 1: memory" in text


@contextmanager
def crashing(agent: psutil.Process) -> Iterator[None]:
    """Every Blender of an agent crashes as soon as it is there."""
    over = threading.Event()

    def crash() -> None:
        while not over.wait(0.05):
            for child in agent.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if any("inside.py" in word for word in child.cmdline()):
                        child.send_signal(signal.SIGSEGV)

    thread = threading.Thread(target=crash)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_bad_agent_is_set_aside_and_kills_no_job(simple: Path, tmp_path: Path) -> None:
    with farms.running(tmp_path / "data") as data, farms.client(data) as client:
        bad = next(agent for agent in client.agents() if agent.name == "agent-2")
        assert bad.pid is not None
        with crashing(psutil.Process(bad.pid)):
            job = ask(data, "job", "submit", str(simple), "--strategy", "frame").json["job"]
            assert farms.blendnet("job", "wait", job, "--data", data).code == 0
            attempts = client.attempts(job)
            assert {(attempt.agent, attempt.reason) for attempt in attempts} == {("agent-2", "crash")}
            shown = next(agent for agent in client.agents() if agent.name == "agent-2")
            assert shown.state == "aside"
            assert shown.message.startswith(f"3 attempts in a row failed on it (jobs: {job}), last: crash: Blender")
            listed = farms.blendnet("agent", "list", "--data", data).out
            assert "3 attempts in a row" in listed
        assert farms.blendnet("agent", "trust", "agent-2", "--data", data).code == 0
        assert {agent.aside for agent in client.agents()} == {""}


def test_cancel_ends_running_render_calls_and_frees_agents_queue_and_disk(long_calls: Path, slow: Path) -> None:
    job = submitted(long_calls, slow)
    with farms.client(long_calls) as client:
        seconds = seconds_to_end(rendering(client, job), lambda: client.cancel(job))
        assert seconds < CANCEL_LIMIT_S
        farms.wait_until(lambda: all(agent.state == "idle" for agent in client.agents()), "the agents are free", 30)
    farms.wait_until(lambda: queued(long_calls) == 0, "no message of the job is left", 30)
    assert list((long_calls / "agents").glob("*/scratch/*")) == []


def test_remove_ends_running_render_calls(long_calls: Path, slow: Path) -> None:
    job = submitted(long_calls, slow)
    with farms.client(long_calls) as client:

        def remove() -> None:
            client.cancel(job)
            client.remove(job)

        seconds = seconds_to_end(rendering(client, job), remove)
        assert seconds < CANCEL_LIMIT_S
        assert job not in {view.id for view in client.jobs()}


def test_cancel_reaches_agents_after_the_manager_was_killed(long_calls: Path, slow: Path) -> None:
    job = submitted(long_calls, slow)
    with farms.client(long_calls) as client:
        orphans = rendering(client, job)
    psutil.Process(int(str((read_farm_file(long_calls) or {})["pid"]))).kill()
    farms.wait_until(lambda: gone(orphans), "no Blender survives its farm", 30)
    farms.up(long_calls, **LONG_CALLS)
    with farms.client(long_calls) as client:
        seconds = seconds_to_end(rendering(client, job), lambda: client.cancel(job))
        assert seconds < CANCEL_LIMIT_S
        assert client.job(job).state is State.CANCELED
