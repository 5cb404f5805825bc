"""Jobs over HTTPS, from the first upload to removal, with the project's own client; and what is refused."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blendnet.client import LocalFile, ManagerClient, blob_of
from blendnet.errors import Conflict, MissingFiles, NotFound, SceneError, UserError
from blendnet.messages import (
    MAX_FRAMES,
    AgentReport,
    ClaimRequest,
    FailureReport,
    FileEntry,
    JobSettings,
    JobSubmission,
    JobView,
)
from blendnet.models import State
from tests.manager.farms import describe
from tests.manager.served import Served, serve

SCENE = b"BLENDER of sorts"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("farm")) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[ManagerClient]:
    with served.owner() as client:
        yield client


def submission(content: bytes = SCENE, *, scene: dict[str, Any] | None = None, **settings: Any) -> JobSubmission:
    file = FileEntry(path="scenes/a.blend", sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    values = {"frames": [1, 2, -3], "samples": 64, "blender": "4.5.15", **settings}
    return JobSubmission(
        name="still life",
        scene=file.path,
        files=[file],
        settings=JobSettings(**values),
        description=describe(**(scene or {})),
    )


def submit(client: ManagerClient, folder: Path, **changes: Any) -> JobView:
    path = folder / "a.blend"
    path.write_bytes(SCENE)
    client.upload([LocalFile(path, blob_of(path))])
    return client.submit(submission(**changes))


def test_submitted_job_is_shown_with_its_frames_chunks_and_log(client: ManagerClient, tmp_path: Path) -> None:
    job = submit(client, tmp_path)
    assert (job.name, job.frames_total, job.samples_total) == ("still life", 3, 192)
    assert client.job(job.id) == job
    assert job in client.jobs()
    assert [frame.number for frame in client.frames(job.id)] == [1, 2, -3]
    assert [frame.number for frame in client.frames(job.id, after=0, limit=1)] == [2]
    assert sum(chunk.count for chunk in client.chunks(job.id, frame=-3)) == 64
    assert client.results(job.id) == []
    events = client.events(job.id)
    assert events
    assert client.events(job.id, after=events[-1].id) == []


def test_job_is_refused_while_its_files_are_missing(client: ManagerClient) -> None:
    with pytest.raises(MissingFiles) as caught:
        client.submit(submission(b"never uploaded"))
    assert caught.value.paths == ("scenes/a.blend",)


def test_job_that_cannot_be_rendered_is_refused(client: ManagerClient, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="camera"):
        submit(client, tmp_path, scene={"has_camera": False})
    with pytest.raises(SceneError, match="Cycles"):
        submit(client, tmp_path, scene={"engine": "BLENDER_EEVEE"})


def test_job_is_steered(client: ManagerClient, tmp_path: Path) -> None:
    job = submit(client, tmp_path)
    assert client.pause(job.id).state is State.PAUSED
    assert client.resume(job.id).state in (State.QUEUED, State.ACTIVE)
    assert client.set_priority(job.id, 77).priority == 77
    with pytest.raises(Conflict):
        client.remove(job.id)
    assert client.cancel(job.id).state is State.CANCELED
    assert not client.retry(job.id).state.final
    client.cancel(job.id)
    client.remove(job.id)
    with pytest.raises(NotFound):
        client.job(job.id)


def test_removed_job_takes_its_files_along(served: Served, client: ManagerClient, tmp_path: Path) -> None:
    path = tmp_path / "only.blend"
    path.write_bytes(b"only here")
    client.upload([LocalFile(path, blob_of(path))])
    job = client.submit(submission(b"only here"))
    assert served.store.has(blob_of(path).sha256)
    client.cancel(job.id)
    client.remove(job.id)
    assert not served.store.has(blob_of(path).sha256)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/v1/jobs/nothing", "get"),
        ("/v1/jobs/nothing/frames", "get"),
        ("/v1/jobs/nothing/chunks?frame=1", "get"),
        ("/v1/jobs/nothing/results", "get"),
        ("/v1/jobs/nothing/events", "get"),
        ("/v1/jobs/nothing/frames/1/preview", "get"),
        ("/v1/jobs/nothing/pause", "post"),
        ("/v1/jobs/nothing/resume", "post"),
        ("/v1/jobs/nothing/cancel", "post"),
        ("/v1/jobs/nothing/retry", "post"),
        ("/v1/jobs/nothing", "delete"),
        ("/v1/agents/nothing", "delete"),
        ("/v1/agents/nothing/log", "get"),
    ],
)
def test_unknown_ids_are_not_found(served: Served, path: str, what: str) -> None:
    with served.http() as http:
        answer = http.request(what, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("name", ["..", "%2e%2e%2f%2e%2e%2fpassword", "a%2fb", "-x", "a%00", "a" * 300, "%ff", "a b"])
def test_names_that_could_be_paths_reach_nothing(served: Served, name: str) -> None:
    with served.http() as http:
        for path in (f"/v1/jobs/{name}/frames", f"/v1/agents/{name}/log", f"/v1/jobs/{name}/frames/1/preview"):
            assert http.get(path).status_code in (404, 422)


@pytest.mark.parametrize("number", ["1.5", "x", str(1 << 40), "-" + "9" * 400, "NaN"])
def test_numbers_are_checked(served: Served, client: ManagerClient, tmp_path: Path, number: str) -> None:
    job = submit(client, tmp_path)
    with served.http() as http:
        for path in (f"frames/{number}/preview", f"chunks?frame={number}", f"frames?limit={number}"):
            assert http.get(f"/v1/jobs/{job.id}/{path}").status_code in (404, 422)
        assert http.post(f"/v1/jobs/{job.id}/priority", json={"priority": number}).status_code == 422


@pytest.mark.parametrize(
    "change",
    [
        {"scene": "../../etc/passwd"},
        {"scene": "/etc/passwd"},
        {"files": []},
        {"files": [{"path": "a/../../b", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [{"path": "C:\\scene.blend", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [{"path": "a\u0000b", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [{"path": "a", "sha256": "0" * 63, "size_bytes": 1}]},
        {"files": [{"path": "a", "sha256": "0" * 64, "size_bytes": -1}]},
        {"settings": {"frames": [], "samples": 1, "blender": "4.5.15"}},
        {"settings": {"frames": [1], "samples": 0, "blender": "4.5.15"}},
        {"settings": {"frames": [1], "samples": 1, "blender": "4.5.15", "priority": 101}},
        {"settings": {"frames": [0] * (MAX_FRAMES + 1), "samples": 1, "blender": "4.5.15"}},
        {"settings": {"frames": [1 << 70], "samples": 1, "blender": "4.5.15"}},
        {"files": [{"path": "a", "sha256": "0" * 64, "size_bytes": 1 << 70}]},
        {"description": {**describe().model_dump(mode="json"), "width": 1 << 70}},
        {"name": ""},
        {"name": "x" * 500},
        {"more": 1},
    ],
    ids=lambda change: str(change)[:40],
)
def test_malformed_job_is_refused_by_name(served: Served, change: dict[str, Any]) -> None:
    with served.http() as http:
        jobs = http.get("/v1/jobs").json()
        answer = http.post("/v1/jobs", json={**submission().model_dump(mode="json"), **change})
        assert answer.status_code == 422
        assert next(iter(change)) in answer.json()["message"]
        assert http.get("/v1/jobs").json() == jobs


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"[" * 50_000, b'{"name": "\\ud800"}']
)
def test_body_that_is_no_job_is_refused(served: Served, body: bytes) -> None:
    with served.http() as http:
        answer = http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")


def test_text_that_no_database_holds_is_cleaned(served: Served, client: ManagerClient, tmp_path: Path) -> None:
    submit(client, tmp_path)
    with served.http() as http:
        answer = http.post("/v1/jobs", json={**submission().model_dump(mode="json"), "name": "a\u0000b"})
    assert answer.json()["name"] == "a\ufffdb"


def test_job_of_ten_thousand_frames_is_accepted_in_seconds(client: ManagerClient, tmp_path: Path) -> None:
    started = time.monotonic()
    job = submit(client, tmp_path, frames=list(range(10_000)))
    assert time.monotonic() - started < 10
    assert len(client.frames(job.id, limit=10_000)) == 10_000
    client.cancel(job.id)


def test_farm_is_shown_at_a_glance(served: Served, client: ManagerClient, tmp_path: Path) -> None:
    job = submit(client, tmp_path)
    farm = client.farm()
    assert job.id in {shown.id for shown in farm.jobs}
    assert farm.data == str(served.data)
    assert [process.role for process in farm.processes] == ["api"]


@pytest.mark.parametrize("seconds", [None, 0.0, 2.5])
def test_agent_is_given_a_notice(served: Served, client: ManagerClient, seconds: float | None) -> None:
    [name] = client.add_agents(1)
    client.interrupt_agent(name, seconds=seconds)
    assert served.fleet.interrupted[-1] == (name, seconds)


@pytest.mark.parametrize(("name", "seconds", "error"), [("nobody", 1.0, NotFound), ("nobody", -1.0, UserError)])
def test_notice_has_to_make_sense(client: ManagerClient, name: str, seconds: float, error: type[Exception]) -> None:
    with pytest.raises(error):
        client.interrupt_agent(name, seconds=seconds)


def test_agents_are_added_shown_and_removed(client: ManagerClient) -> None:
    names = client.add_agents(2)
    assert len(names) == 2
    assert names[0] in client.agent_log(names[0])
    client.remove_agent(names[0])
    with pytest.raises(NotFound):
        client.remove_agent(names[0])
    with pytest.raises(UserError):
        client.add_agents(0)


def test_agent_that_was_set_aside_is_trusted_again(served: Served, client: ManagerClient) -> None:
    served.farm.report("bad", AgentReport(pid=1), time.time())
    with served.farm.ledger.write() as tx:
        tx.agents.update(tx.agents.need("bad"), aside="it crashes", aside_until=time.time() + 900)
    assert [(agent.state, agent.message) for agent in client.agents()] == [("aside", "it crashes")]
    assert client.trust_agent("bad").state == "idle"
    assert [agent.aside for agent in client.agents()] == [""]


def test_attempts_that_ended_without_success_are_listed_page_by_page(
    served: Served, client: ManagerClient, tmp_path: Path
) -> None:
    job = submit(client, tmp_path, frames=[7])
    chunk = client.chunks(job.id, frame=7)[0].id
    with served.agent() as agent:
        for kind in ("crash", "interrupted"):
            token = agent.claim(chunk, ClaimRequest(agent="agent-1")).token
            agent.failed(chunk, FailureReport(token=token, kind=kind, message="it broke", peak_memory_bytes=1 << 33))
    first, second = client.attempts(job.id)
    assert (first.frame, first.reason, first.peak_memory_bytes) == (7, "crash", 1 << 33)
    assert second.reason == "interrupted"
    assert client.attempts(job.id, frame=7, after=first.id) == [second]
    assert client.attempts(job.id, frame=8) == []
    assert client.job(job.id).interrupted == 1
