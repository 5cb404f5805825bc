"""An agent's day over HTTPS with a real ledger and store, and what late, wrong or foreign agents are refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from blendnet.client import AgentClient, LocalFile, ManagerClient, blob_of
from blendnet.errors import Conflict, HashMismatch, LeaseLost, NotFound, UserError
from blendnet.merge import exr
from blendnet.messages import (
    AgentReport,
    ChunkClaim,
    ChunkReport,
    ClaimRequest,
    FailureReport,
    FinishReport,
    JobView,
)
from blendnet.models import Action, Stage, State
from tests.manager.served import Served, serve
from tests.manager.test_api_jobs import submit

ME = ClaimRequest(agent="agent1", task="task1")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("farm"), max_segment_bytes=1 << 20) as served:
        yield served


@pytest.fixture
def owner(served: Served) -> Iterator[ManagerClient]:
    with served.owner() as client:
        yield client


@pytest.fixture
def agent(served: Served) -> Iterator[AgentClient]:
    with served.agent() as client:
        yield client


@pytest.fixture
def job(owner: ManagerClient, tmp_path: Path) -> Iterator[JobView]:
    job = submit(owner, tmp_path, frames=[7], chunk_samples=64)
    yield job
    with contextlib.suppress(Conflict):  # Some tests complete it.
        owner.cancel(job.id)


@pytest.fixture
def chunk(owner: ManagerClient, job: JobView) -> str:
    return owner.chunks(job.id, frame=7)[0].id


@pytest.fixture
def claim(agent: AgentClient, chunk: str) -> ChunkClaim:
    claim = agent.claim(chunk, ME)
    assert claim.state == "render"
    return claim


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "segment.exr"
    path.write_bytes(f"segment of {tmp_path}".encode())
    return path


def small_picture(path: Path, value: float) -> Path:
    planes = {name: np.full((9, 16), value, np.float32) for name in "RGB"} | {"A": np.ones((9, 16), np.float32)}
    exr.write(path, exr.Image(planes, exr.header_for(16, 9)), half=True)
    return path


def stored(served: Served) -> set[str]:
    return {p.name for p in served.store.root.rglob("*") if p.is_file()}


def test_agent_takes_a_frame_from_claim_to_result(
    served: Served, owner: ManagerClient, agent: AgentClient, job: JobView, chunk: str, segment: Path, tmp_path: Path
) -> None:
    claim = agent.claim(chunk, ME)
    assert (claim.state, claim.left, claim.frame, claim.samples) == ("render", [(0, 64)], 7, 64)
    assert claim.scene is not None
    [file] = agent.files(claim.scene.job)
    agent.download(file.sha256, tmp_path / "workspace" / "a.blend")
    assert agent.heartbeat(chunk, token=claim.token, done=8).action is Action.CONTINUE
    agent.commit(chunk, token=claim.token, offset=0, count=64, path=segment)
    agent.done(chunk, ChunkReport(token=claim.token, render_s=1.0, load_s=0.5, samples=64))
    frame = owner.frames(job.id)[0]
    assert (frame.done, frame.segments, frame.stage) == (64, 1, Stage.MERGE)

    work = served.farm.claim_merge(frame.id, time.time())
    assert work is not None
    merged = served.store.temporary_path()
    merged.write_bytes(b"merged")
    served.farm.done_merge(frame.id, work.token, served.store.put_file(merged), time.time())

    finish = agent.claim_finish(frame.id, ME)
    assert finish.state == "finish"
    assert finish.merged is not None
    assert agent.heartbeat_finish(frame.id, token=finish.token).action is Action.CONTINUE
    agent.add_result(frame.id, token=finish.token, kind="image", path="0007.png", file=segment)
    agent.done_finish(frame.id, FinishReport(token=finish.token, warnings=["not denoised"]))

    assert owner.job(job.id).state is State.COMPLETED
    assert owner.frames(job.id)[0].warnings == ["not denoised"]
    results = {result.path: result for result in owner.results(job.id)}
    assert results["0007.png"].frame == 7
    owner.download(results["0007.png"].sha256, tmp_path / "out" / "0007.png")
    assert (tmp_path / "out" / "0007.png").read_bytes() == segment.read_bytes()


def test_same_segment_twice_is_fine(agent: AgentClient, chunk: str, claim: ChunkClaim, segment: Path) -> None:
    for _ in range(2):
        agent.commit(chunk, token=claim.token, offset=0, count=32, path=segment)
    agent.failed(chunk, FailureReport(token=claim.token, kind="interrupted", message="machine goes away"))
    assert agent.claim(chunk, ME).left == [(32, 32)]


def test_overlapping_segment_is_refused(agent: AgentClient, chunk: str, claim: ChunkClaim, segment: Path) -> None:
    agent.commit(chunk, token=claim.token, offset=0, count=32, path=segment)
    with pytest.raises(Conflict):
        agent.commit(chunk, token=claim.token, offset=16, count=32, path=segment)


def test_old_token_is_refused_before_the_body_and_leaves_nothing(
    served: Served, agent: AgentClient, chunk: str, claim: ChunkClaim, segment: Path
) -> None:
    before = stored(served)
    again = agent.claim(chunk, ME)
    assert again.token > claim.token
    with pytest.raises(LeaseLost):
        agent.commit(chunk, token=claim.token, offset=0, count=64, path=segment)
    with pytest.raises(LeaseLost):
        agent.heartbeat(chunk, token=claim.token, done=1)
    with pytest.raises(LeaseLost):
        agent.preview(chunk, token=claim.token, samples=1, path=segment)
    with pytest.raises(LeaseLost):
        agent.done(chunk, ChunkReport(token=claim.token))
    assert stored(served) == before


def test_old_token_is_answered_while_a_large_body_waits(served: Served, chunk: str, claim: ChunkClaim) -> None:
    path = f"/v1/chunks/{chunk}/segments?token={claim.token + 1}&offset=0&count=1"
    with served.socket() as connection:
        connection.sendall(served.head("PUT", path, "agent", Content_Length=str(1 << 20), Expect="100-continue"))
        answer = connection.recv(4096)
    assert b" 409 " in answer.split(b"\r\n")[0]


def test_segment_that_hashes_wrong_leaves_nothing(served: Served, chunk: str, claim: ChunkClaim) -> None:
    before = stored(served)
    query = {"token": claim.token, "offset": 0, "count": 64, "sha256": "0" * 64}
    with served.http("agent") as http:
        answer = http.put(f"/v1/chunks/{chunk}/segments", params=query, content=b"damaged")
    assert (answer.status_code, answer.json()["code"]) == (422, HashMismatch.code)
    assert stored(served) == before


def test_segment_over_the_limit_leaves_nothing(served: Served, chunk: str, claim: ChunkClaim) -> None:
    before = stored(served)
    query = {"token": claim.token, "offset": 0, "count": 64}
    with served.http("agent") as http:
        announced = http.put(f"/v1/chunks/{chunk}/segments", params=query, content=bytes((1 << 20) + 1))
        endless = http.put(f"/v1/chunks/{chunk}/segments", params=query, content=(bytes(1 << 17) for _ in range(9)))
    assert (announced.status_code, endless.status_code) == (413, 413)
    assert stored(served) == before


def test_cut_segment_leaves_nothing(served: Served, owner: ManagerClient, chunk: str, claim: ChunkClaim) -> None:
    before = stored(served)
    path = f"/v1/chunks/{chunk}/segments?token={claim.token}&offset=0&count=64"
    with served.socket() as connection:
        connection.sendall(served.head("PUT", path, "agent", Content_Length="1000") + b"x" * 500)
    deadline = time.monotonic() + 20
    while stored(served) != before:
        assert time.monotonic() < deadline
    assert served.farm.heartbeat(chunk, claim.token, time.time()).action is Action.CONTINUE


@pytest.mark.parametrize(
    "query",
    ["offset=0&count=0", "offset=-1&count=1", "offset=0&count=65", "offset=64&count=1", "offset=x&count=1", "count=1"],
)
def test_segment_outside_its_chunk_is_refused(served: Served, chunk: str, claim: ChunkClaim, query: str) -> None:
    with served.http("agent") as http:
        answer = http.put(f"/v1/chunks/{chunk}/segments?token={claim.token}&{query}", content=b"x")
    assert answer.status_code == 422


def test_unknown_work_is_refused(agent: AgentClient, segment: Path) -> None:
    assert agent.claim("nothing", ME).state == "canceled"
    with pytest.raises((NotFound, LeaseLost)):
        agent.heartbeat("nothing", token=1, done=0)
    with pytest.raises((NotFound, LeaseLost)):
        agent.commit("nothing", token=1, offset=0, count=1, path=segment)
    with pytest.raises((NotFound, LeaseLost)):
        agent.add_result("nothing", token=1, kind="image", path="a.png", file=segment)


@pytest.mark.parametrize(
    "path", ["../a.png", "/etc/a.png", "a/../../b.png", "a\\b.png", "", "./a.png", "a//b.png", "a\nb"]
)
def test_result_path_stays_in_the_output_folder(agent: AgentClient, segment: Path, path: str) -> None:
    with pytest.raises(UserError):
        agent.add_result("frame", token=1, kind="image", path=path, file=segment)


def test_result_kind_is_one_of_those_known(agent: AgentClient, segment: Path) -> None:
    with pytest.raises(UserError):
        agent.add_result("frame", token=1, kind="merged", path="a.exr", file=segment)


def test_picture_of_a_frame_is_the_weighted_mean_of_its_previews(
    served: Served, owner: ManagerClient, agent: AgentClient, tmp_path: Path
) -> None:
    job = submit(owner, tmp_path, frames=[1], chunk_samples=32)
    with pytest.raises(NotFound):
        owner.preview(job.id, 1)
    for chunk, samples, value in zip(owner.chunks(job.id, frame=1), (30, 10), (0.0, 1.0), strict=True):
        claim = agent.claim(chunk.id, ME)
        path = small_picture(tmp_path / "small.exr", value)
        agent.preview(chunk.id, token=claim.token, samples=samples, path=path)
    assert owner.frames(job.id)[0].preview_samples == 40
    with Picture.open(io.BytesIO(owner.preview(job.id, 1))) as picture:
        assert (picture.format, picture.size, picture.mode) == ("PNG", (16, 9), "RGBA")
        assert picture.getpixel((3, 3)) == (137, 137, 137, 255)  # sRGB of 0.25
    with served.http("owner") as http:
        answer = http.get(f"/v1/jobs/{job.id}/frames/1/preview?format=exr")
        assert http.get(f"/v1/jobs/{job.id}/frames/1/preview?format=tiff").status_code == 422
        assert http.get(f"/v1/jobs/{job.id}/frames/1").json() == owner.frames(job.id)[0].model_dump(mode="json")
    (tmp_path / "linear.exr").write_bytes(answer.content)
    assert answer.headers["content-type"] == "image/x-exr"
    assert exr.read(tmp_path / "linear.exr").channels["R"][3, 3] == 0.25
    owner.cancel(job.id)
    owner.remove(job.id)
    assert not list((served.data / "previews").iterdir())


def test_preview_over_the_limit_is_refused(served: Served, chunk: str, claim: ChunkClaim) -> None:
    with served.http("agent") as http:
        answer = http.put(f"/v1/chunks/{chunk}/preview?token={claim.token}&samples=1", content=bytes((16 << 20) + 1))
    assert answer.status_code == 413


def test_rubbish_preview_spoils_no_picture(
    owner: ManagerClient, agent: AgentClient, job: JobView, chunk: str, claim: ChunkClaim, segment: Path
) -> None:
    agent.preview(chunk, token=claim.token, samples=4, path=segment)
    with pytest.raises(NotFound):
        owner.preview(job.id, 7)


def test_canceled_job_tells_its_agent(
    owner: ManagerClient, agent: AgentClient, job: JobView, chunk: str, claim: ChunkClaim
) -> None:
    owner.cancel(job.id)
    assert agent.heartbeat(chunk, token=claim.token, done=1).action is Action.CANCEL
    assert agent.claim(chunk, ME).state == "canceled"


def test_commit_leaves_the_progress_that_was_told(
    owner: ManagerClient, agent: AgentClient, job: JobView, chunk: str, claim: ChunkClaim, segment: Path
) -> None:
    agent.heartbeat(chunk, token=claim.token, done=40)
    agent.commit(chunk, token=claim.token, offset=0, count=32, path=segment)
    assert owner.job(job.id).samples_done == 40


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chunks/x/done", {"token": 1 << 40}),
        ("chunks/x/done", {"token": 1, "render_s": -1}),
        ("chunks/x/done", {"token": 1, "render_s": "NaN"}),
        ("chunks/x/heartbeat", {"token": 1, "done": 1 << 40}),
        ("chunks/x/failed", {"token": 1, "kind": "crash", "message": "x" * 5000}),
        ("agents/x/report", {"pid": 1 << 70}),
        ("chunks/x/claim", {"agent": ""}),
    ],
)
def test_numbers_that_cannot_be_are_refused(served: Served, path: str, body: dict[str, object]) -> None:
    with served.http("agent") as http:
        assert http.post(f"/v1/{path}", json=body).status_code == 422


def test_report_makes_an_agent_known(owner: ManagerClient, agent: AgentClient) -> None:
    agent.report("agent9", AgentReport(host="here", pid=5, blenders=["4.5.15"], devices=["CPU"]))
    shown = {view.name: view for view in owner.agents()}["agent9"]
    assert (shown.host, shown.pid, shown.blenders) == ("here", 5, ["4.5.15"])


def test_upload_by_agents_reaches_only_their_own_work(served: Served) -> None:
    sha256 = hashlib.sha256(b"x").hexdigest()
    with served.http("agent") as http:
        assert http.put(f"/v1/blobs/{sha256}?size=1", content=b"x").status_code == 403
        assert http.get("/v1/jobs").status_code == 403


def test_owner_uploads_are_seen_by_agents(
    served: Served, owner: ManagerClient, agent: AgentClient, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"texture")
    owner.upload([LocalFile(source, blob_of(source))])
    agent.download(blob_of(source).sha256, target)
    assert target.read_bytes() == b"texture"
