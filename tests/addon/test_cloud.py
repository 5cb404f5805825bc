"""A farm in a cloud, as the add-on asks the `blendnet` command for it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tarfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from addon import build
from addon.blendnet_addon.lib import bundle, cloud, command
from addon.blendnet_addon.lib.cloud_choices import Place
from addon.blendnet_addon.lib.cloud_view import CloudView
from addon.blendnet_addon.lib.connection import Login
from addon.blendnet_addon.lib.errors import AddonError, NotConnected, SetUpError, Stopped
from addon.blendnet_addon.lib.kept_login import CLOUD, KeptLogin
from addon.blendnet_addon.lib.own_address import own_address
from blendnet.cli.cloud_farm import CloudFarm, Note
from blendnet.manager.folder import DataFolder
from tests.end_to_end import farms

Program = Callable[[str], str]
PLACE = Place("aws", "eu-central-1", "work")
AT = "--provider aws --region eu-central-1 --option profile=work"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program in the place of the `blendnet` command: shell, with its arguments kept in `asked`."""

    def make(script: str) -> str:
        path = tmp_path / "blendnet"
        path.write_text(f'#!/bin/sh\necho "$BLENDNET_DATA $*" >> {tmp_path}/asked\n{script}\n')
        path.chmod(0o755)
        return str(path)

    return make


def noted(data: Path, **more: str) -> None:
    """Note a farm as the command does."""
    farm = CloudFarm(DataFolder(data))
    data.mkdir(exist_ok=True)
    farm.write(Note(provider="aws", region="eu-central-1", **more))


def test_answer_and_what_is_said_meanwhile_are_told_apart(program: Program, go: threading.Event) -> None:
    heard: list[str] = []
    path = program('echo "Making the machine ..." >&2; echo >&2; echo "{}"; echo "i-1 is ordered." >&2')
    assert command.ask(path, ["cloud", "up"], go, heard.append) == {}
    assert heard == ["Making the machine ...", "i-1 is ordered."]


def test_failure_behind_an_answer_is_the_failure(program: Program) -> None:
    path = program(
        'echo \'{"there": ["a"]}\'; echo \'{"error": {"message": "one thing could not be removed"}}\'; exit 1'
    )
    with pytest.raises(SetUpError, match=r"^one thing could not be removed$"):
        command.ask(path, ["cloud", "destroy", "--yes"])
    assert command.documents('{"a": 1}\n[2] broken') == [{"a": 1}, [2]]


def test_status_that_is_an_answer_too_is_taken(program: Program, go: threading.Event) -> None:
    path = program('echo \'{"checks": [{"state": "problem"}]}\'; exit 1')
    assert cloud.Farm(path, "/data").check(PLACE, go) == [{"state": "problem"}]
    with pytest.raises(SetUpError, match=r"`blendnet cloud types` failed with status 1: no word"):
        cloud.Farm(path, "/data").types(PLACE, go)


@pytest.mark.parametrize("heeds", ["exit 130", ":"], ids=["heeds Ctrl+C", "does not"])
def test_command_ends_when_it_is_told_to_with_all_it_has_started(
    program: Program, tmp_path: Path, heeds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "END_S", 0.3)
    stop = threading.Event()
    child = f'{sys.executable} -c "import time; time.sleep(60)" {tmp_path}'
    path = program(f'trap "{heeds}" INT; echo began >&2; {child} & wait; wait')
    heard: list[str] = []

    def said(line: str) -> None:
        heard.append(line)
        stop.set()

    with pytest.raises(Stopped):
        command.ask(path, ["cloud", "up"], stop, said, limit_s=30.0)
    assert heard == ["began"]
    farms.wait_until(lambda: not farms.processes_mentioning(tmp_path), "nothing of it is left", 10.0)


def test_command_that_takes_too_long_is_ended(program: Program) -> None:
    with pytest.raises(SetUpError, match=r"`blendnet cloud up` takes more than 0 s: try it in a terminal"):
        command.ask(program("exec sleep 60"), ["cloud", "up", "--yes"], limit_s=0.2)


def test_commands_say_what_is_meant_and_for_which_folder(program: Program, tmp_path: Path, go: threading.Event) -> None:
    farm = cloud.Farm(program('echo \'{"checks": [], "types": [], "there": []}\''), "/farm")
    said: list[str] = []
    farm.check(PLACE, go)
    farm.types(PLACE, go)
    farm.up(["--agents-max", "3"], {}, go, said.append)
    farm.start(go, said.append)
    farm.stop(go, said.append)
    farm.destroy(True, go, said.append)
    farm.destroy(False, go, said.append)
    farm.status(go)
    farm.logs(go)
    farm.remains(go)
    assert (tmp_path / "asked").read_text("utf-8").splitlines() == [
        f"/farm cloud doctor {AT} --json", f"/farm cloud types {AT} --json",
        "/farm cloud up --yes --agents-max 3 --json", "/farm cloud start --json", "/farm cloud stop --yes --json",
        "/farm cloud destroy --yes --keep-data --json", "/farm cloud destroy --yes --json",
        "/farm cloud status --json", "/farm cloud logs --json", "/farm cloud remains --json",
    ]  # fmt: skip


def test_broken_off_creation_knows_what_it_has_begun(program: Program, tmp_path: Path, go: threading.Event) -> None:
    data = tmp_path / "data"
    script = """case "$2" in
    up) echo "Making the machine ..." >&2; echo '{"error": {"message": "no capacity"}}'; exit 1;;
    remains) echo '{"there": ["bucket b", "machine i-1"]}';; esac"""
    making = cloud.Making(cloud.Farm(program(script), str(data)), PLACE, "Making a Manager")
    with pytest.raises(SetUpError, match="no capacity"):
        making.up([], {}, go)
    assert making.begun == [], "nothing was noted, so nothing was begun"
    noted(data)
    with pytest.raises(SetUpError, match="no capacity"):
        making.up([], {}, go)
    assert making.begun == ["bucket b", "machine i-1"]
    again = cloud.Making(cloud.Farm(program(script), str(data)), PLACE, "Using the Manager", fresh=False)
    with pytest.raises(SetUpError, match="no capacity"):
        again.up([], {}, go)
    assert again.begun is None, "a farm that was there was not begun now"
    making.hear("Preparing the account: network rules ...")
    assert making.step == "Preparing the account: network rules"
    making.hear("i-1 is starting ...")
    assert making.step == "i-1 is starting"


def test_login_is_read_where_the_command_keeps_it(tmp_path: Path) -> None:
    data, kept = tmp_path / "data", KeptLogin(str(tmp_path / "kept"))
    kept.keep_cloud(str(data), "/usr/bin/blendnet", {"provider": "aws", "cap_job_usd": 2.0})
    assert kept.about()["kind"] == CLOUD
    with pytest.raises(NotConnected, match="in no cloud any more"):
        kept.login()
    noted(data)
    with pytest.raises(NotConnected, match="has not said yet where it is"):
        kept.login()
    noted(data, url="https://198.51.100.7:443")
    with pytest.raises(NotConnected, match=r"cannot read .*ca\.crt"):
        kept.login()
    farm = CloudFarm(DataFolder(data))
    password = farm.password()
    farm.ca.write_text("PEM")
    assert vars(kept.login()) == vars(Login("https://198.51.100.7:443", "PEM", "owner", password))
    assert sorted(os.listdir(tmp_path / "kept")) == ["manager.json"]
    assert password not in (tmp_path / "kept" / "manager.json").read_text("utf-8")


def test_folder_is_the_commands_own_when_that_is_in_a_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "blendnet" / "farm"
    monkeypatch.setenv("BLENDNET_DATA", str(own))
    assert cloud.folder("") == str(tmp_path / "blendnet" / "cloud")
    own.mkdir(parents=True)
    noted(own)
    assert cloud.folder("") == str(own)
    assert cloud.folder(str(tmp_path / "other")) == str(tmp_path / "other")


def test_bundle_holds_what_bundle_sh_packs_and_is_the_same_every_time(tmp_path: Path) -> None:
    program = tmp_path / "program"
    for name, data in build.contents().items():
        inside = name.partition(f"/{build.PROGRAM}/")[2]
        if inside:
            path = program / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    targets = [tmp_path / name / "bundle.tar.gz" for name in ("one", "two")]
    for target in targets:
        bundle.pack(str(program), str(target))
    assert len({hashlib.sha256(target.read_bytes()).hexdigest() for target in targets}) == 1
    with tarfile.open(targets[0]) as archive:
        modes = {member.name: member.mode for member in archive}
    image = {path for path in (build.ROOT / "worker_image").rglob("*") if path.is_file()}
    wheels = {name for name in modes if name.endswith(".whl")}
    assert set(modes) - wheels == {
        "requirements.lock", "requirements-manager.lock", "worker_image/worker-image.md",
        *(path.relative_to(build.ROOT).as_posix() for path in image),
    }  # fmt: skip
    assert (len(wheels), modes["worker_image/install.sh"], modes["requirements.lock"]) == (1, 0o755, 0o644)


def test_bundle_fits_a_command_of_its_own_version_alone(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "program"
    (folder / "worker_image").mkdir(parents=True)
    path = program('echo "blendnet, version 0.1.0"')
    assert not bundle.fits(str(folder), path)
    (folder / "blendnet-0.1.0-py3-none-any.whl").touch()
    assert bundle.fits(str(folder), path)
    assert not bundle.fits(str(folder), program('echo "blendnet, version 0.2.0"'))
    assert not bundle.fits(str(folder), str(tmp_path / "gone"))


class Teller(BaseHTTPRequestHandler):
    """Answers with its server's text."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.text)  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        pass


def test_own_address_is_asked_for_and_checked() -> None:
    server = HTTPServer(("127.0.0.1", 0), Teller)
    url = f"http://127.0.0.1:{server.server_port}"
    answers = {b"203.0.113.7\n": None, b"<html>": "tells no IPv4 address", b"2001:db8::1": "tells no IPv4 address"}
    try:
        for server.text, words in answers.items():  # type: ignore[attr-defined]
            serving = threading.Thread(target=server.handle_request)
            serving.start()
            if words is None:
                assert own_address(url) == "203.0.113.7"
            else:
                with pytest.raises(AddonError, match=words):
                    own_address(url)
            serving.join(10)
    finally:
        server.server_close()
    with pytest.raises(AddonError, match=r"does not tell this computer's address.*name the networks"):
        own_address(url)


def test_view_tells_what_stands_in_the_way() -> None:
    view = CloudView()
    assert not view.ready()
    view.checks = [
        {"name": "sdk", "state": "ok"}, {"name": "quota", "state": "warning"},
        {"name": "credentials", "state": "problem"}, {"name": "set-up", "state": "warning"},
    ]  # fmt: skip
    for check in view.checks:
        check["message"] = "`blendnet cloud prepare` does it" if check["name"] == "set-up" else check["name"]
    assert [check["name"] for check in view.problems()] == ["credentials", "quota"]
    assert (view.fine(), view.ready(), view.lacks_sdk()) == (2, False, False)
    view.checks = [{"name": "sdk", "state": "problem", "message": "boto3 is not installed"}]
    assert view.lacks_sdk()
    view.types, view.types_of = [{"name": "a"}], PLACE
    assert view.types_at(Place("aws", "eu-central-1", "work")) == view.types
    assert view.types_at(Place("aws", "eu-west-1", "work")) == []
    assert (view.state(True), view.state(False)) == ("running", "unknown")
    view.status = {"machine": {"state": "stopped"}}
    assert view.state(False) == "stopped"
    view.leave()
    assert (view.checks, view.types) == (None, [])


def test_note_that_is_damaged_is_none(tmp_path: Path) -> None:
    (tmp_path / "cloud").mkdir()
    for text in ("", "[]", "{}", json.dumps({"provider": ""})):
        (tmp_path / "cloud" / "manager.json").write_text(text)
        assert cloud.note(str(tmp_path)) is None
