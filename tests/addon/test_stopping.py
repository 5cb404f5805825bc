"""The artist stops what is under way: it ends at once, also when nobody answers, and nothing is left that costs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from addon.blendnet_addon.lib import farm_here
from addon.blendnet_addon.lib.connection import Http, Login
from addon.blendnet_addon.lib.downloads import download
from addon.blendnet_addon.lib.errors import AddonError, Stopped, Unreachable
from addon.blendnet_addon.lib.files import hash_file
from addon.blendnet_addon.lib.manager import Manager
from addon.blendnet_addon.lib.uploads import upload_missing
from addon.blendnet_addon.lib.waiting import until_stopped
from addon.blendnet_addon.session import Session, Visible
from tests.addon.test_connection import target
from tests.cutting_proxy import CuttingProxy, cutting
from tests.manager.farms import Kit
from tests.manager.served import Served, wait_until

SIZE = 3 << 20
JOINED_S = 30.0


class Asker:
    """Somebody who asks in a thread, and what comes of it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.error: BaseException | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except AddonError as error:
            self.error = error

    def ended(self) -> BaseException | None:
        self._thread.join(JOINED_S)
        assert not self._thread.is_alive(), "it still waits"
        return self.error


def waiting() -> set[int | None]:
    """Threads in which calls wait."""
    return {thread.ident for thread in threading.enumerate() if thread.name == "blendnet-wait"}


@pytest.fixture
def line(served: Served) -> Iterator[CuttingProxy]:
    """A line to the Manager that can fall silent."""
    with cutting(target(served)) as proxy:
        yield proxy


@pytest.fixture
def http(login: Login, line: CuttingProxy) -> Iterator[Http]:
    http = Http(Login(f"https://127.0.0.1:{line.port}", login.ca_pem, login.user, login.password))
    yield http
    http.abort()


def test_call_returns_and_raises_as_without_anybody_who_could_stop_it(go: threading.Event) -> None:
    assert until_stopped(go, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        until_stopped(go, divmod, 7, 0)


@pytest.mark.parametrize("silent", ["before it shakes hands", "afterwards"])
def test_question_to_a_silent_manager_is_given_up(http: Http, line: CuttingProxy, silent: str) -> None:
    stop = threading.Event()
    manager = Manager(http, stop)
    if silent == "afterwards":
        manager.farm()
    line.hold()
    before = waiting()
    asker = Asker(manager.farm)
    wait_until(lambda: waiting() - before, JOINED_S)
    stop.set()
    assert isinstance(asker.ended(), Stopped)


def test_upload_that_gets_no_answer_is_given_up(http: Http, line: CuttingProxy, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(SIZE))
    stop, sent = threading.Event(), threading.Event()

    def progress(count: int) -> None:
        if count:
            line.hold()
            sent.set()

    sha256, size = hash_file(str(path))
    asker = Asker(lambda: upload_missing(Manager(http, stop), [(str(path), sha256, size)], progress, stop))
    assert sent.wait(JOINED_S)
    stop.set()
    assert isinstance(asker.ended(), Stopped)


def test_download_that_stands_still_is_given_up(
    http: Http, line: CuttingProxy, manager: Manager, tmp_path: Path, go: threading.Event
) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(SIZE))
    sha256, size = hash_file(str(path))
    upload_missing(manager, [(str(path), sha256, size)], lambda _: None, go)
    stop, came = threading.Event(), threading.Event()

    def progress(count: int) -> None:
        line.hold()
        came.set()

    asker = Asker(lambda: download(Manager(http, stop), sha256, str(tmp_path / "copy"), stop, progress))
    assert came.wait(JOINED_S)
    stop.set()
    assert isinstance(asker.ended(), Stopped)
    assert os.listdir(tmp_path) == ["big"]


def test_what_changes_a_job_is_done_although_somebody_stops(login: Login, kit: Kit) -> None:
    stop, http = threading.Event(), Http(login)
    manager, job = Manager(http, stop), kit.submit([1])
    stop.set()
    with pytest.raises(Stopped):
        manager.jobs()
    assert manager.steer(job.id, "cancel")["state"] == "canceled"
    http.close()


def test_session_that_ends_waits_for_no_silent_manager(login: Login, line: CuttingProxy, tmp_path: Path) -> None:
    session = Session(str(tmp_path / "kept"), online=True)
    session.kept.keep_known(Login(f"https://127.0.0.1:{line.port}", login.ca_pem, login.user, login.password))
    session.set_up_changed()
    session.manager().farm()
    line.hold()
    task = session.begin(session.calls, "look", lambda stop: session.manager().farm())
    wait_until(task.begun, JOINED_S)
    session.end()
    wait_until(lambda: session.outbox.drain(0.1) >= 0 and task.done, JOINED_S)
    assert isinstance(task.error, Unreachable)


def test_what_waits_for_its_turn_is_stopped_at_once_and_tidies_up(tmp_path: Path) -> None:
    session, over, tidied = Session(str(tmp_path / "kept"), online=True), threading.Event(), []
    first = session.begin(session.transfers, "first", lambda stop: over.wait(JOINED_S), visible=Visible("first"))

    def send(stop: threading.Event) -> None:
        tidied.append(stop.is_set())
        raise Stopped("stopped")

    second = session.begin(session.transfers, "second", send, visible=Visible("second"))
    session.stop(second.number)
    wait_until(lambda: session.outbox.drain(0.1) >= 0 and second.done, JOINED_S)
    assert (tidied, session.message, first.done) == ([True], "Stopped.", False)
    over.set()
    wait_until(lambda: session.outbox.drain(0.1) >= 0 and first.done, JOINED_S)
    session.end()
    assert tidied == [True], "it was done a second time when its turn came"


def test_what_cannot_be_stopped_is_not(tmp_path: Path) -> None:
    session, over = Session(str(tmp_path / "kept"), online=True), threading.Event()
    visible = Visible("Ending the farm", can_stop=False)
    task = session.begin(session.set_up, "end", lambda stop: over.wait(JOINED_S), visible=visible)
    session.stop()
    assert not task.stop.is_set()
    over.set()
    session.end()


@pytest.mark.parametrize("ran", [False, True], ids=["new", "running before"])
def test_farm_whose_start_is_stopped_does_not_stay(tmp_path: Path, ran: bool) -> None:
    data, asked = tmp_path / "farm", tmp_path / "asked"
    data.mkdir()
    if ran:
        (data / "farm.json").touch()
    program = tmp_path / "blendnet"
    program.write_text(
        f"""#!/bin/sh
        if [ "$1" = up ]; then touch {data}/farm.json; echo up >> {asked}; exec sleep 60; fi
        echo "$1" >> {asked}; echo '{{}}'
        """
    )
    program.chmod(0o755)
    stop = threading.Event()
    asker = Asker(lambda: farm_here.start(str(program), str(data), 1, stop))
    wait_until(asked.exists, JOINED_S)
    stop.set()
    assert isinstance(asker.ended(), Stopped)
    assert asked.read_text("utf-8").split() == (["up"] if ran else ["up", "down"])


def test_stopped_command_is_not_begun(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        farm_here.run(str(tmp_path / "gone"), "up", stop=stop)
