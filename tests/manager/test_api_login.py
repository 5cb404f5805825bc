"""Nothing but the health check answers without login, roles keep apart, and reading changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blendnet.manager.api_login import MAX_WAITING_LOGINS
from blendnet.security.credentials import ensure_credentials
from tests.manager.served import Served, serve

AGENT_CALLS = (
    "/v1/jobs/{job_id}/files",
    "/v1/chunks/",
    "/v1/frames/",
    "/report",
    "/encode/",
    "/certificate",
    "/v1/incoming",
)
BOTH = ("/v1/blobs/{sha256}", "/v1/blobs/{sha256}/url", "/v1/docs", "/v1/openapi.json", "/ca.crt")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("farm"), logins=ensure_credentials) as served:
        yield served


def operations(served: Served) -> list[tuple[str, str]]:
    """(method, path) of every documented call; ids are filled with something harmless."""
    with served.http() as http:
        description = http.get("/v1/openapi.json").json()
    return [(method.upper(), path) for path, methods in description["paths"].items() for method in methods]


def filled(path: str) -> str:
    values = {"{sha256}": "0" * 64, "{number}": "1"}
    for name in ("{job_id}", "{chunk_id}", "{frame_id}", "{name}"):
        values[name] = "nothing"
    for name, value in values.items():
        path = path.replace(name, value)
    return path


def test_every_call_but_health_refuses_without_login(served: Served) -> None:
    with served.http(user=None) as http:
        for method, path in [
            *operations(served),
            ("GET", "/v1/docs"),
            ("GET", "/v1/openapi.json"),
            ("GET", "/nothing"),
        ]:
            if path == "/health":
                continue
            answer = http.request(method, filled(path))
            assert answer.status_code == 401, path
            assert answer.json()["code"] == "no_login"
            assert answer.headers["www-authenticate"].startswith("Basic")


def test_health_answers_anybody_and_says_nothing(served: Served) -> None:
    with served.http(user=None) as http:
        assert http.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !!!", "Basic b3duZXI=", "Bearer abc", "Basic /////w==", "Basic " + "A" * 20_000, "basic Og=="],
)
def test_damaged_login_is_refused(served: Served, header: str) -> None:
    with served.http(user=None) as http:
        assert http.get("/v1/jobs", headers={"Authorization": header}).status_code == 401


def test_wrong_password_is_refused_while_known_users_go_on(served: Served) -> None:
    with served.http() as http:
        http.get("/v1/jobs")
        with served.http(user=None) as stranger:
            assert stranger.get("/v1/jobs", auth=("owner", "guess")).status_code == 401
            assert stranger.get("/v1/jobs", auth=("nobody", "guess")).status_code == 401
        assert http.get("/v1/jobs").status_code == 200


def test_flood_of_wrong_logins_is_turned_away_and_blocks_no_known_user(served: Served) -> None:
    with served.http() as http, ThreadPoolExecutor(3 * MAX_WAITING_LOGINS) as pool:
        http.get("/v1/jobs")

        def guess(number: int) -> int:
            with served.http(user=None) as stranger:
                return stranger.get("/v1/jobs", auth=("owner", f"guess{number}")).status_code

        guesses = [pool.submit(guess, number) for number in range(3 * MAX_WAITING_LOGINS)]
        assert http.get("/v1/jobs").elapsed.total_seconds() < 5
        assert {task.result() for task in guesses} <= {401, 503}


def test_each_role_is_refused_what_belongs_to_the_other(served: Served) -> None:
    for method, path in operations(served):
        if path == "/health" or (method == "GET" and path in BOTH):
            continue
        stranger = "owner" if any(part in path for part in AGENT_CALLS) else "agent"
        with served.http(stranger) as http:
            body = {"content": b"x"} if method == "PUT" else {"json": {}} if method == "POST" else {}
            answer = http.request(method, filled(path), **body)
        assert answer.status_code == 403, (method, path)
        assert answer.json()["code"] == "not_allowed"


def test_reading_changes_nothing(served: Served) -> None:
    def state() -> dict[str, bytes]:
        ends = (".crt", ".key", "-wal", "-shm")
        return {str(p): p.read_bytes() for p in served.data.rglob("*") if p.is_file() and not p.name.endswith(ends)}

    before = state()
    with served.http() as http:
        for method, path in operations(served):
            if method == "GET":
                http.get(filled(path), params={"frame": 1})
    assert state() == before
    assert not served.fleet.stopped


def test_only_documented_methods_are_understood(served: Served) -> None:
    with served.http() as http:
        for method in ("GET", "DELETE", "PATCH", "PUT"):
            answer = http.request(method, "/v1/farm/stop")
            assert answer.status_code == 405
            assert answer.json()["code"] == "bad_request"
        assert http.get("/v1/jobs/").status_code == 404
        assert http.get("/../../etc/passwd").status_code == 404


def test_page_of_another_site_cannot_use_a_browsers_login(served: Served) -> None:
    with served.http() as http:
        assert http.post("/v1/farm/stop", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert not served.fleet.stopped
        assert http.get("/v1/jobs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_answers_carry_headers_that_bind_browsers(served: Served) -> None:
    with served.http() as http, served.http(user=None) as stranger:
        for answer in (http.get("/v1/jobs"), stranger.get("/v1/jobs"), http.get("/nothing")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "server" not in answer.headers


def test_documentation_lists_every_call_without_foreign_scripts(served: Served) -> None:
    with served.http() as http:
        page = http.get("/v1/docs").text
    for method, path in operations(served):
        assert f"{method} {path}" in page
    assert "<script" not in page


def test_error_details_reach_programs_as_json(served: Served) -> None:
    with served.http() as http:
        answer = http.post("/v1/agents", content=b"{", headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert set(json.loads(answer.text)) == {"code", "message", "details"}
        many = http.post("/v1/agents", json={"count": 0, "more": 1})
        assert "count" in many.json()["message"]
        assert "more" in many.json()["message"]


def test_farm_is_stopped_only_by_post(served: Served) -> None:
    with served.owner() as client:
        client.stop_farm()
    assert served.fleet.stopped


def test_first_start_leaves_passwords_private(served: Served) -> None:
    private = [p for p in Path(served.data).rglob("*") if "password" in p.name or p.suffix == ".key"]
    assert len(private) == 4
    assert all(p.stat().st_mode & 0o077 == 0 for p in private)
