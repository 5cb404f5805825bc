"""How far agents of other machines get: each for itself, with the jobs that it works on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from blendnet.errors import LeaseLost, NotAllowed, NotYours
from blendnet.messages import ChunkReport, ClaimRequest, DirectDownload
from blendnet.provision.base import Offer
from tests.manager.joined import OpenFarm, farm, one, report, two
from tests.manager.test_api_jobs import submit

__all__ = ["farm", "one", "two"]


def test_agent_does_nothing_in_anothers_name(farm: OpenFarm, one: str, two: str, tmp_path: Path) -> None:
    with farm.owner() as owner, farm.agent(one) as first, farm.agent(two) as second:
        job = submit(owner, tmp_path, frames=[1])
        chunk = owner.chunks(job.id, frame=1)[0].id
        with pytest.raises(NotYours):
            report(second, one)
        with pytest.raises(NotYours):
            second.claim(chunk, ClaimRequest(agent=one))
        claim = first.claim(chunk, ClaimRequest(agent=one))
        segment = tmp_path / "segment.exr"
        segment.write_bytes(b"pixels")
        with pytest.raises(NotYours):
            second.commit(chunk, token=claim.token, offset=0, count=claim.left[0][1], path=segment)
        with pytest.raises(NotYours):
            second.heartbeat(chunk, token=claim.token, done=0)
        with pytest.raises(NotYours):
            second.done(chunk, ChunkReport(token=claim.token))
        assert owner.chunks(job.id, frame=1)[0].done == 0
        first.commit(chunk, token=claim.token, offset=0, count=claim.left[0][1], path=segment)
        owner.cancel(job.id)


def test_agent_reads_files_of_jobs_it_works_on_alone(farm: OpenFarm, one: str, two: str, tmp_path: Path) -> None:
    with farm.owner() as owner, farm.agent(one) as first, farm.agent(two) as second:
        job = submit(owner, tmp_path, frames=[1])
        chunk = owner.chunks(job.id, frame=1)[0].id
        first.claim(chunk, ClaimRequest(agent=one))
        [file] = first.files(job.id)
        first.download(file.sha256, tmp_path / "mine")
        with pytest.raises(NotYours):
            second.files(job.id)
        with pytest.raises(NotYours):
            second.download(file.sha256, tmp_path / "not mine")
        with pytest.raises(NotYours):
            second._http.get(DirectDownload, f"/v1/blobs/{file.sha256}/url")
        owner.cancel(job.id)
        with pytest.raises(LeaseLost):
            first.files(job.id)


def test_what_machines_of_clouds_send_is_counted_and_what_own_machines_send_is_not(
    farm: OpenFarm, one: str, tmp_path: Path
) -> None:
    work = farm.served.farm.work
    farm.served.farm.instances.of("aws").intend(["rented"], [Offer("small", "a", True)], None, now=time.time())
    rented = farm.join("rented").member.name
    segment = tmp_path / "segment.exr"
    segment.write_bytes(b"pixels")
    with farm.owner() as owner:
        job = submit(owner, tmp_path, frames=[1, 2])
        for frame, name, counted in ((1, one, 0), (2, rented, len(b"pixels"))):
            chunk = owner.chunks(job.id, frame=frame)[0].id
            with farm.agent(name) as agent:
                report(agent, name)
                before = work.left_bytes
                claim = agent.claim(chunk, ClaimRequest(agent=name))
                agent.commit(chunk, token=claim.token, offset=0, count=claim.left[0][1], path=segment)
            assert work.left_bytes - before == counted
        owner.cancel(job.id)


@pytest.mark.parametrize("path", ["/v1/farm", "/v1/agents", "/v1/jobs"])
def test_agent_is_no_owner(farm: OpenFarm, one: str, path: str) -> None:
    with farm.agent(one) as client, pytest.raises(NotAllowed):
        client._http.get(dict, path)
