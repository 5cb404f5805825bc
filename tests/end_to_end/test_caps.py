"""A cap on a real farm: met within seconds, never passed, and no sample is lost or rendered twice when it is raised."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from blendnet.merge import exr
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end

CAP_USD = 20.0
SAMPLES = 240


def test_job_stops_below_its_cap_and_is_completed_when_it_is_raised(
    scenes_dir: Path, bpy_build: Build, tmp_path: Path
) -> None:
    source = scenes_dir / "clevr_base_scene.blend"
    scene = farms.prepare(bpy_build, source, tmp_path / "scene.blend", size=(200, 130), samples=SAMPLES)
    # A dollar a second.
    with farms.running(tmp_path / "data", agents=1, agent_usd_per_hour=3600, sub_pass_s=1) as data:
        asked = ("--data", data, "--blender", bpy_build.path, "--frames", "1", "--chunk-samples", "80")
        submitted = farms.blendnet("job", "submit", scene, *asked, "--cap", str(CAP_USD), "--json")
        assert submitted.code == 0, submitted.err
        job = submitted.json["job"]

        def show() -> dict:
            return farms.blendnet("job", "show", job, "--data", data, "--json").json

        with farms.client(data) as client:
            farms.wait_until(lambda: client.job(job).state in ("paused", "completed"), "it stops", 120)
            paused = show()
            assert paused["state"] == "paused", paused
            assert f"blendnet job cap {job}" in paused["message"]
            farms.wait_until(lambda: client.job(job).agents == 0, "the agent has stopped", 60)
        time.sleep(3)  # Nothing more may be counted; there is no event that says so.
        stopped = show()
        assert 0 < stopped["cost_usd"] <= CAP_USD
        assert 0 < stopped["samples_done"] < SAMPLES
        assert farms.blendnet("job", "resume", job, "--data", data).code != 0

        raised = farms.blendnet("job", "cap", job, "100000", "--data", data)
        assert raised.code == 0, raised.err
        waited = farms.blendnet("job", "wait", job, "--data", data)
        assert waited.code == 0, waited.err
        frame = show()["frames"][0]
        assert (frame["done"], frame["state"]) == (SAMPLES, "completed")
        home = farms.blendnet("job", "download", job, "--data", data, "--output", tmp_path / "out", "--json")
        assert home.code == 0, home.err
        merged = exr.read(Path(home.json["frames"][0]["merged"]))
        assert merged.channels
        costs = farms.blendnet("costs", "--data", data, "--json").json["in_all"]
        parts = costs["jobs_usd"] + costs["boot_usd"] + costs["idle_usd"]
        assert abs(parts - costs["agents_usd"]) < 0.01
        assert costs["jobs_usd"] == pytest.approx(show()["cost_usd"], abs=5)
