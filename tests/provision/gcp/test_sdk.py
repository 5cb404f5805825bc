"""What Google's libraries and APIs answer when something is wrong: with the key file, on the way, for a moment."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from blendnet.errors import FarmError
from blendnet.provision.base import CheckState, Place
from blendnet.provision.gcp.account import account_of
from blendnet.provision.gcp.identity import Identity
from blendnet.provision.gcp.sdk import KEY_FILE, Google, Refused
from tests.provision.fake_gce import PROJECT, FakeGce, Fault
from tests.provision.gcp.conftest import Clock, Make

SECRET = "words-of-a-private-key"
MAKING = "^/v1/projects/[^/]+/serviceAccounts$"


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the credentials, which is not there yet."""
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "key.json"))
    return tmp_path / "key.json"


def google(endpoint: str = "") -> Google:
    """A farm's clients."""
    return Google(account_of(Place("farm", "us-central1", {"project": PROJECT, "endpoint": endpoint})))


def refused() -> Refused:
    """What is said of the credentials."""
    with pytest.raises(Refused) as caught:
        _ = google().credentials
    assert (caught.value.reason, caught.value.http_status) == ("credentials", 401)
    return caught.value


def test_a_key_that_is_no_utf_8_is_not_shown_neither_are_its_bytes_in_a_log(key: Path) -> None:
    key.write_bytes(b"\xff\xfe" + json.dumps({"private_key": SECRET}).encode())
    error = refused()
    assert f"File {key} is not a valid json file" in str(error)
    assert SECRET not in "".join(traceback.format_exception(error))


def test_of_what_is_said_about_a_key_only_so_much_is_shown(key: Path) -> None:
    key.write_text(json.dumps({"type": "x" * 9000}))
    assert len(str(refused())) < 700


@pytest.mark.parametrize("content", ["[]", "7", '"text"', "null"])
def test_a_file_that_holds_something_else_is_named(key: Path, content: str) -> None:
    key.write_text(content)
    assert f"no valid credentials in {key}, which {KEY_FILE} names" in str(refused())


def test_a_file_that_cannot_be_read_is_named_with_the_reason(key: Path) -> None:
    key.mkdir()
    assert f"{key}, which {KEY_FILE} names (Is a directory)" in str(refused())


@pytest.fixture
def stranger() -> Iterator[str]:
    """Address of somebody who answers everything with a page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html><body>Log in</body></html>")

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_is_no_answer_of_google(make: Make, stranger: str) -> None:
    provider = make(endpoint=stranger)
    for call in (provider.list, provider.machine_types, provider.account.ensure):
        with pytest.raises(FarmError, match="what answers there is not Google"):
            call()
    with pytest.raises(Refused, match="not Google") as caught:
        google(stranger).rest("GET", "iam", "/v1/x", "show x")
    assert not caught.value.answered


@pytest.mark.parametrize("status", [429, 503])
def test_what_identities_are_asked_is_asked_again_when_google_has_no_time(
    make: Make, fake: FakeGce, status: int
) -> None:
    account = make().account
    policies = [Fault("POST", f"{whose}:{what}IamPolicy", status)
                for whose in ("projects/[^/]+", "gserviceaccount.com") for what in ("get", "set")]  # fmt: skip
    fake.faults = [*policies, Fault("GET", "/roles/", status), Fault("POST", ":testIamPermissions", status)]
    account.ensure()
    fake.faults.append(Fault("GET", "/serviceAccounts/", status))
    assert [one for one in account.remains() if one.startswith("service account ")]
    assert {check.name: check.state for check in make().checks()}["permissions"] is CheckState.OK
    assert [fault for fault in fake.faults if fault.times] == []


def test_a_policy_whose_answer_was_lost_is_written_once(fake: FakeGce, clock: Clock) -> None:
    fake.faults.append(Fault("POST", "projects/[^/]+:setIamPolicy", 503, done=True))
    Identity(google(fake.url), clock.sleep).ensure()
    assert len(fake.policy["bindings"]) == len({one["role"] for one in fake.policy["bindings"]}) == 1


def test_what_makes_something_is_asked_once(make: Make, fake: FakeGce) -> None:
    fake.faults.append(Fault("POST", MAKING, 503))
    with pytest.raises(FarmError, match="did not make the Manager's identity"):
        make().account.ensure()
    assert len([path for verb, path in fake.requests if verb == "POST" and path.endswith("/serviceAccounts")]) == 1
