"""What a job will take, asked of a real Manager by the add-on's library; a probe is played by the test."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from addon.blendnet_addon.lib import estimating
from addon.blendnet_addon.lib.errors import Refused, SceneError, Stopped
from addon.blendnet_addon.lib.estimating import Estimator, facts, sentence
from addon.blendnet_addon.lib.manager import Manager
from addon.blendnet_addon.lib.parcel import Parcel
from addon.blendnet_addon.lib.sending import Sending
from addon.blendnet_addon.lib.words import memory
from addon.blendnet_addon.session import Session
from blendnet.messages import ChunkReport, ClaimRequest, FileEntry, FinishReport, tree_key
from tests.manager.farms import Kit, describe
from tests.manager.served import Served

SETTINGS = {"frames": [1, 2], "samples": 64, "blender": "4.5.15", "strategy": "frame", "device": "CPU"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "POLL_S", 0.01)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "shot.blend"
    path.write_bytes(b"BLENDER " + os.urandom(8))
    return path


def box(scene: Path) -> Parcel:
    return Parcel(str(scene), str(scene), [])


def estimator(manager: Manager, scene: Path, frames: int = 1) -> Estimator:
    return Estimator(manager, box(scene), "shot", SETTINGS, describe().model_dump(), str(scene), frames)


class Player:
    """An agent that renders, or fails, every probe that begins meanwhile."""

    def __init__(self, served: Served, *, fail: bool = False) -> None:
        self.kit = Kit(served.farm, served.data, now=time.time())
        self.fail = fail
        self.probes: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play)

    def __enter__(self) -> Player:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _play(self) -> None:
        while not self._over.wait(0.01):
            with self.kit.farm.ledger.read() as tx:
                new = [job.id for job in tx.jobs.probes() if not job.state.final and job.id not in self.probes]
            for job_id in new:
                self.probes.append(job_id)
                for position in range(self.kit.farm.job(job_id).frames_total):
                    self._frame(job_id, position)

    def _frame(self, job_id: str, position: int) -> None:
        kit = self.kit
        job = kit.farm.job(job_id)
        (chunk,) = kit.chunk_ids(job, position)
        if self.fail:
            kit.fail(chunk, kind="scene")
            return
        claim = kit.claim(chunk)
        for offset, count in claim.left:
            kit.farm.commit(chunk, claim.token, offset, count, kit.blob(), kit.now)
        calls = [(count, 0.5 * count) for _, count in claim.left]
        report = ChunkReport(
            token=claim.token, render_s=0.5 * claim.samples, samples=claim.samples, calls=calls,
            peak_memory_bytes=3 << 30,
        )  # fmt: skip
        kit.farm.done(chunk, report, kit.now)
        kit.merge(kit.frame(job, position))
        finish = kit.farm.claim_finish(kit.frame(job, position), ClaimRequest(agent="agent1"), kit.now)
        kit.farm.done_finish(kit.frame(job, position), FinishReport(token=finish.token, finish_s=1.0), kit.now)


@pytest.fixture
def play(served: Served) -> Callable[..., Player]:
    return lambda **how: Player(served, **how)


def test_name_of_the_files_is_that_of_the_manager(scene: Path, tmp_path: Path, go: threading.Event) -> None:
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(name.encode())
    parcel = Parcel(str(scene), str(scene), [str(tmp_path / "b.png"), str(tmp_path / "a.png")])
    parcel.hash(lambda *_: None, go)
    files = [FileEntry(**entry) for entry in parcel.submission("x", {}, {})["files"]]
    assert parcel.tree() == tree_key(files)


def test_files_are_read_once(scene: Path, go: threading.Event) -> None:
    parcel, seen = box(scene), []
    parcel.hash(lambda *done: seen.append(done), go)
    parcel.hash(lambda *done: seen.append(done), go)
    assert seen == [(1, 1)]
    assert len(parcel.uploads()) == 1


def test_scene_that_the_farm_does_not_know_is_probed_once(
    manager: Manager, scene: Path, go: threading.Event, play: Callable[..., Player]
) -> None:
    with play() as player:
        told = estimator(manager, scene, 2).run(go)
        assert (told["state"], told["frames"], told["samples"]) == ("estimated", 2, 64)
        assert told["pace"]["sample_s"] == pytest.approx(0.5)
        assert player.kit.farm.job(player.probes[0]).frames_total == 2
        again = estimator(manager, scene).run(go)
        assert again["pace"] == told["pace"]
        assert len(player.probes) == 1
    assert manager.jobs() == []


def test_probe_that_fails_says_why(
    manager: Manager, scene: Path, go: threading.Event, play: Callable[..., Player]
) -> None:
    with play(fail=True), pytest.raises(SceneError, match=r"the probe failed: .*it broke"):
        estimator(manager, scene).run(go)


def test_probe_that_the_artist_stops_is_canceled(manager: Manager, served: Served, scene: Path) -> None:
    stop, asking, said = threading.Event(), estimator(manager, scene), []

    def run() -> None:
        try:
            asking.run(stop)
        except Stopped as error:
            said.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while asking.step != "Rendering a probe" or not _running(served):
        time.sleep(0.01)
    stop.set()
    thread.join()
    assert len(said) == 1
    assert _running(served) == []


def _running(served: Served) -> list[str]:
    with served.farm.ledger.read() as tx:
        return [job.id for job in tx.jobs.probes() if not job.state.final]


@pytest.mark.parametrize("status", [404, 405])
def test_older_manager_is_named(scene: Path, go: threading.Event, status: int) -> None:
    class Older:
        def estimate(self, *_: Any) -> None:
            raise Refused("no such call", status=status)

    with pytest.raises(SceneError, match="too old to estimate"):
        estimator(Older(), scene).run(go)


class Prepared:
    """As scene_copy.Prepared."""

    def __init__(self, path: Path) -> None:
        self.path = self.copy = str(path)
        self.needed: list[str] = []
        self.warnings: list[str] = []
        self.merged = self.homes = None
        self.description = describe().model_dump()

    def clean(self) -> None:
        pass


def test_sending_tells_what_the_job_takes_and_asks_first(
    manager: Manager, scene: Path, tmp_path: Path, go: threading.Event, play: Callable[..., Player]
) -> None:
    session = Session(str(tmp_path / "kept"), online=True)
    session.manager = lambda stop: manager
    settings = {name: value for name, value in SETTINGS.items() if name != "blender"}
    sending = Sending(session, Prepared(scene), settings, "", "shot", ask=True, tell=True)
    with play() as player:
        assert sending.run(go) is None
        (note,) = sending.notes
        assert note.startswith("it will take about")
        job = sending.run(go)
    assert job["name"] == "shot"
    player.kit.farm.cancel(job["id"], time.time())
    player.kit.farm.remove(job["id"])
    session.end()


def test_scene_can_be_sent_although_nobody_can_estimate_it(
    manager: Manager, scene: Path, tmp_path: Path, go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def estimate(*_: Any) -> Any:
        raise Refused("no such call", status=404)

    monkeypatch.setattr(manager, "estimate", estimate)
    session = Session(str(tmp_path / "kept"), online=True)
    session.manager = lambda stop: manager
    settings = {name: value for name, value in SETTINGS.items() if name != "blender"}
    sending = Sending(session, Prepared(scene), settings, "", "shot", ask=True, tell=True)
    assert sending.run(go) is None
    assert [note.split(":")[0] for note in sending.notes] == ["this Manager is too old to estimate"]
    assert sending.run(go)["name"] == "shot"
    session.end()


VIEW = {
    "state": "estimated", "seconds": 754.0, "seconds_range": [600.0, 1100.0], "usd": 0.42, "usd_range": [0.35, 0.61],
    "usd_per_hour": 0.5, "price_source": "live", "price_age_s": 7300.0, "memory_bytes": 3 << 30, "agents": 4,
    "frames": 1, "samples": 128, "measured_by": "probe", "measured_job": "x", "warnings": [], "cap_usd": 0.77,
}  # fmt: skip


def test_estimate_is_told_in_few_words() -> None:
    assert facts(VIEW) == [
        ("Time", "12 min 34 s (10 min 00 s to 18 min 20 s)"),
        ("Cost", "$0.42 ($0.35 to $0.61)"),
        ("Price", "$0.50 an hour (live, 2 h 01 min ago)"),
        ("Memory", "3.0 GiB"),
        ("Agents", "4"),
        ("Work", "1 frame of 128 samples"),
        ("Measured by", "a probe"),
    ]
    assert sentence(VIEW) == "it will take about 12 min 34 s for about $0.42"


def test_cost_that_nobody_knows_is_called_unknown() -> None:
    unknown = {**VIEW, "usd": None, "usd_range": None, "price_source": None}
    assert dict(facts(unknown))["Cost"].startswith("unknown")
    assert "Price" not in dict(facts(unknown))
    assert sentence(unknown).endswith("at a cost that nobody knows")


def test_session_shows_an_estimate_until_it_is_closed(tmp_path: Path) -> None:
    session = Session(str(tmp_path), online=True)
    before = session.version
    session.show_estimate("shot", VIEW)
    assert session.version > before
    assert session.message == "shot: it will take about 12 min 34 s for about $0.42."
    session.drop_estimate()
    assert session.estimate is None
    session.end()


@pytest.mark.parametrize(("size", "text"), [(None, ""), (700 << 20, "700 MiB"), (21 << 30, "21 GiB")])
def test_memory_is_told_as_it_is_sold(size: int | None, text: str) -> None:
    assert memory(size) == text
