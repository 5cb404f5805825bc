"""What the artist is told before a scene is sent: by a real Manager, and asked once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from addon.blendnet_addon.lib import before_sending
from addon.blendnet_addon.lib.errors import Refused
from addon.blendnet_addon.lib.manager import Manager
from addon.blendnet_addon.session import Session
from blendnet.messages import AgentReport, ChunkReport
from tests.manager.farms import Kit, describe
from tests.manager.served import Served

PATH = "/home/ada/scene.blend"
AGENTS = [{"devices": ["CPU"]}, {"devices": ["CPU", "CUDA"]}]


def notes(manager: Manager, strategy: str = "split", device: str = "CPU", path: str = PATH, **scene: Any) -> list[str]:
    settings = {"frames": [1], "samples": 64, "blender": "4.5.15", "strategy": strategy, "device": device}
    return before_sending.notes(manager, settings, describe(**scene).model_dump(), AGENTS, path)


def test_scene_that_splits_exactly_has_no_notes(manager: Manager) -> None:
    assert notes(manager) == []
    assert manager.jobs() == []


def test_other_noise_is_said_with_the_setting_that_mends_it(manager: Manager) -> None:
    (note,) = notes(manager, adaptive=True)
    assert note.startswith("other noise than on one machine: adaptive sampling")
    assert "switch off" in note


def test_whole_frames_are_those_of_one_machine(manager: Manager) -> None:
    assert notes(manager, "frame", adaptive=True) == []


@pytest.mark.parametrize("strategy", ["frame", "split"])
def test_what_the_farm_does_in_another_way_is_said_once(manager: Manager, strategy: str) -> None:
    found = notes(manager, strategy, adaptive=True, time_limit_s=3.0)
    assert len([text for text in found if "time limit of 3 s" in text]) == 1
    assert not [text for text in found if "one machine: the scene's time limit" in text]


def test_what_the_manager_warns_of_is_said(manager: Manager) -> None:
    found = notes(manager, denoise=True, denoiser_available=False)
    assert [text for text in found if "no denoiser" in text]


def test_device_that_no_agent_has_is_said(manager: Manager) -> None:
    assert notes(manager, device="CUDA") == []
    assert notes(manager, device="METAL") == ["no agent has METAL now, they have CPU, CUDA: the job would fail on them"]


def test_memory_that_agents_lack_is_said(manager: Manager, served: Served) -> None:
    kit = Kit(served.farm, served.data, now=time.time())
    kit.farm.report("agent1", AgentReport(pid=1, render_memory_bytes=4 << 30), kit.now)
    job = kit.farm.submit(kit.submission(chunk_samples=64).model_copy(update={"root": "/home/heavy"}), kit.now)
    (chunk,) = kit.chunk_ids(job)
    claim = kit.claim(chunk)
    kit.farm.commit(chunk, claim.token, 0, 64, kit.blob(), kit.now)
    kit.farm.done(chunk, ChunkReport(token=claim.token, render_s=1, samples=64, peak_memory_bytes=21 << 30), kit.now)
    kit.farm.cancel(job.id, kit.now)
    kit.farm.remove(job.id)
    assert notes(manager) == []
    (note,) = notes(manager, path="/home/heavy/scene.blend")
    assert note.startswith(f"Blender took 21 GiB of memory for this scene in job {job.id}, and may take 4 GiB")


def test_scene_that_cannot_be_rendered_is_refused(manager: Manager) -> None:
    with pytest.raises(Refused, match="has no camera"):
        notes(manager, has_camera=False)


@pytest.mark.parametrize("status", [404, 405])
def test_manager_without_that_call_says_nothing(status: int) -> None:
    class Older:
        def check(self, *_: Any) -> None:
            raise Refused("no such call", status=status)

    assert before_sending.notes(Older(), {"device": "CPU"}, {}, AGENTS, PATH) == []


class Waiting:
    """A scene that waits for the artist's word."""

    def __init__(self, *notes: str) -> None:
        self.notes = notes
        self.cleaned = False

    def clean(self) -> None:
        self.cleaned = True


@pytest.fixture
def session(tmp_path: Path) -> Any:
    session = Session(str(tmp_path), online=True)
    yield session
    session.end()


def test_notes_that_were_taken_are_not_new_again(session: Session) -> None:
    assert not session.is_new([])
    assert session.is_new(["grain"])
    sending = Waiting("grain")
    session.ask(sending)
    assert session.answer() is sending
    assert not sending.cleaned
    assert session.question is None
    assert not session.is_new(["grain"])
    assert session.is_new(["grain", "not baked"])


def test_scene_that_is_not_sent_is_cleaned_up(session: Session) -> None:
    first, second = Waiting("grain"), Waiting("grain")
    session.ask(first)
    session.ask(second)
    assert first.cleaned
    session.drop_question()
    assert second.cleaned
    assert session.question is None
    assert session.is_new(["grain"])


def test_question_ends_with_blender(tmp_path: Path) -> None:
    session, sending = Session(str(tmp_path), online=True), Waiting("grain")
    session.ask(sending)
    session.end()
    assert sending.cleaned
