"""A scene on its way to a real Manager: the artist is asked about new notes, once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from addon.blendnet_addon.lib.connection import Login
from addon.blendnet_addon.lib.errors import AddonError, MissingFiles
from addon.blendnet_addon.lib.manager import Manager
from addon.blendnet_addon.lib.sending import Sending
from addon.blendnet_addon.session import Session
from tests.manager.farms import describe

SETTINGS = {"frames": [1], "samples": 64, "strategy": "split", "device": "CPU"}


class Prepared:
    """A saved scene as scene_copy makes it, without a Blender."""

    def __init__(self, folder: Path, *warnings: str, **scene: Any) -> None:
        folder.mkdir()
        (folder / "a.blend").write_bytes(b"BLENDER of sorts")
        self.path = self.copy = str(folder / "a.blend")
        self.needed: list[str] = []
        self.warnings = list(warnings)
        self.merged = self.homes = None
        self.description = describe(**scene).model_dump()

    def clean(self) -> None:
        Path(self.copy).unlink()

    @property
    def is_there(self) -> bool:
        return Path(self.copy).exists()


@pytest.fixture
def session(tmp_path: Path, login: Login) -> Iterator[Session]:
    session = Session(str(tmp_path / "kept"), online=True)
    session.kept.keep_known(login)
    session.set_up_changed()
    yield session
    session.end()


def sending(session: Session, prepared: Prepared, *, ask: bool = True) -> Sending:
    return Sending(session, prepared, SETTINGS, "", "still life", ask)


def test_scene_without_notes_is_sent_at_once(session: Session, tmp_path: Path, go: threading.Event) -> None:
    prepared = Prepared(tmp_path / "scene")
    job = sending(session, prepared).run(go)
    assert (job["name"], job["blender"]) == ("still life", "4.5.15")
    assert not prepared.is_there


def test_new_notes_wait_for_the_artist_and_are_shown_once(
    session: Session, manager: Manager, tmp_path: Path, go: threading.Event
) -> None:
    prepared, before = Prepared(tmp_path / "first", "not baked: Cube", adaptive=True), len(manager.jobs())
    first = sending(session, prepared)
    assert first.run(go) is None
    assert [note.split(":")[0] for note in first.notes] == ["not baked", "other noise than on one machine"]
    assert len(manager.jobs()) == before
    assert prepared.is_there
    session.ask(first)
    job = session.answer().run(go)
    assert job["exactness"] == "equal-noise"
    assert not prepared.is_there
    assert sending(session, Prepared(tmp_path / "second", adaptive=True)).run(go)["frames_total"] == 1


def test_nobody_is_asked_without_a_window(session: Session, tmp_path: Path, go: threading.Event) -> None:
    alone = sending(session, Prepared(tmp_path / "scene", adaptive=True), ask=False)
    assert alone.run(go)["exactness"] == "equal-noise"
    assert len(alone.notes) == 1


def test_scene_is_not_sent_to_another_manager_than_it_was_meant_for(
    session: Session, manager: Manager, tmp_path: Path, go: threading.Event
) -> None:
    prepared, before = Prepared(tmp_path / "scene"), len(manager.jobs())
    meant = sending(session, prepared)
    session.kept.keep_here(str(tmp_path / "farm"), "blendnet")
    session.set_up_changed()
    assert meant.outdated
    with pytest.raises(AddonError, match="another Manager is in use"):
        meant.run(go)
    assert not prepared.is_there
    assert len(manager.jobs()) == before


def test_copy_is_deleted_when_sending_fails(session: Session, tmp_path: Path, go: threading.Event) -> None:
    prepared = Prepared(tmp_path / "scene")
    prepared.needed = [str(tmp_path / "gone.png")]
    with pytest.raises(MissingFiles, match=r"gone\.png"):
        sending(session, prepared).run(go)
    assert not prepared.is_there
