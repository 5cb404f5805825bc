"""A farm whose Manager is a machine of Compute Engine, from `cloud up` to `cloud destroy`, as its owner sees it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms, manager_life
from tests.end_to_end.cloud_box import IMAGE, Box, boxed
from tests.end_to_end.gce_box import Gce
from tests.end_to_end.manager_box import boxed_managers
from tests.provision.fake_gce import PROJECT, FakeGce

pytestmark = pytest.mark.end_to_end
CARRIED = {
    **manager_life.CARRIED,
    "cloud_provider": "gcp", "cloud_region": "us-central1", "cloud_options": f"project={PROJECT}",
    "fleet_machines": "e2-standard-4",
}  # fmt: skip


@pytest.fixture
def gce(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGce]:
    """A fake Google Cloud, to which every process that the test starts is sent, with the owner's settings."""
    with FakeGce().served() as fake:
        monkeypatch.setenv("BLENDNET_GCP_ENDPOINT", fake.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        for name, value in CARRIED.items():
            monkeypatch.setenv(f"BLENDNET_{name.upper()}", value)
        yield fake


def test_a_manager_comes_renders_stops_itself_starts_again_knowing_its_jobs_and_goes_without_a_rest(
    gce: FakeGce, clevr: Path, bpy_build: Build, tmp_path: Path
) -> None:
    data, out, cloud = tmp_path / "data", tmp_path / "out", Gce(gce)
    hosts = {"https://storage.googleapis.com": gce.url, "http://metadata.google.internal": gce.url}
    quick = {**manager_life.QUICK, "gcp_endpoint": gce.url}

    def rendered() -> None:
        assert [one.spot for one in gce.machines if one.labels["blendnet-role"] == "agent"] == [True]
        assert any(key.startswith("store/blobs/") for _, key in gce.objects), "files are in the farm's bucket"

    with (
        ThreadPoolExecutor(1) as aside,
        boxed(cloud, tmp_path / "agents", **IMAGE) as agents,
        boxed_managers(cloud, tmp_path / "managers", hosts, **quick) as managers,
    ):
        reference = aside.submit(farms.reference, bpy_build, clevr, tmp_path / "plain")
        box = Box(cloud, agents, data, log=managers.log)
        made, started = manager_life.live(box, managers, clevr, out, rendered)
        worst = farms.worst_difference(next(out.glob("*_merged.exr")), reference.result())
        assert max(worst.values()) <= 1
    assert started["address"] != made["address"]
    assert box.shown("cloud", "remains")["there"] == []
    assert (gce.living(), gce.disks, gce.firewalls, gce.buckets, gce.service_accounts) == ([], {}, {}, {}, {})
    assert farms.processes_mentioning(tmp_path) == []
