"""A job that wants one agent at a time on a farm of two: never more work on it, and it is completed all the same."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end


def test_job_keeps_to_its_limit_of_agents_and_ends(blender34: Build, tmp_path: Path) -> None:
    scene = farms.prepare(blender34, "", tmp_path / "scene.blend", size=(320, 200), samples=60)
    with farms.running(tmp_path / "data", agents=2) as data:
        told = farms.blendnet("agent", "list", "--data", data, "--json").json
        assert len(told) == 2
        for agent in told:
            assert 0 < agent["render_memory_bytes"] <= agent["memory_bytes"] <= psutil.virtual_memory().total
        asked = ("--data", data, "--blender", blender34.path, "--frames", "1-2", "--chunk-samples", "20")
        sent = farms.blendnet("job", "submit", scene, *asked, "--agents-max", "1", "--json")
        assert sent.code == 0, sent.err
        seen = set()
        with farms.client(data) as client:

            def ended() -> bool:
                job = client.job(sent.json["job"])
                seen.add(job.agents)
                return job.state not in ("queued", "active")

            farms.wait_until(ended, "the job ends", 300)
        job = farms.blendnet("job", "show", sent.json["job"], "--data", data, "--json").json
        assert (job["state"], job["agents_max"], job["samples_done"]) == ("completed", 1, 120)
        assert seen <= {0, 1}
        assert 1 in seen
        assert job["redelivered"] == 0
