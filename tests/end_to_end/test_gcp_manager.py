"""A farm whose Manager is a machine of Compute Engine, from `cloud up` to `cloud destroy`, as its owner sees it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms
from tests.end_to_end.cloud_box import IMAGE, PATIENCE_S, Box, boxed
from tests.end_to_end.gce_box import Gce
from tests.end_to_end.manager_box import boxed_managers
from tests.provision.fake_gce import PROJECT, FakeGce, Machine

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).resolve().parents[2]
CARRIED = {
    "cloud_provider": "gcp", "cloud_region": "us-central1", "cloud_options": f"project={PROJECT}",
    "fleet_machines": "e2-standard-4", "fleet_max": "1", "fleet_poll_s": "1", "fleet_boot_s": "3",
    "fleet_idle_s": "300", "fleet_end_delay_s": "5", "manager_idle_s": "8", "manager_attended_s": "10",
}  # fmt: skip
"""Settings of the owner: an agent stays until the Manager sends it away."""
QUICK = {"lease_s": "3", "sub_pass_s": "1"}


@pytest.fixture
def gce(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGce]:
    """A fake Google Cloud, to which every process that the test starts is sent, with the owner's settings."""
    with FakeGce().served() as fake:
        monkeypatch.setenv("BLENDNET_GCP_ENDPOINT", fake.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        for name, value in CARRIED.items():
            monkeypatch.setenv(f"BLENDNET_{name.upper()}", value)
        yield fake


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """What the machine fetches, less the wheels, which this environment has."""
    path = tmp_path / "bundle.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(ROOT / "worker_image", "worker_image")
    return path


def test_a_manager_comes_renders_stops_itself_starts_again_knowing_its_jobs_and_goes_without_a_rest(
    gce: FakeGce, bundle: Path, clevr: Path, bpy_build: Build, tmp_path: Path
) -> None:
    data, cloud = tmp_path / "data", Gce(gce)
    hosts = {"https://storage.googleapis.com": gce.url, "http://metadata.google.internal": gce.url}
    quick = {**QUICK, "gcp_endpoint": gce.url}
    with (
        ThreadPoolExecutor(1) as aside,
        boxed(cloud, tmp_path / "agents", **IMAGE) as agents,
        boxed_managers(cloud, tmp_path / "managers", hosts, **quick) as managers,
    ):
        reference = aside.submit(farms.reference, bpy_build, clevr, tmp_path / "plain")
        box = Box(cloud, agents, data, log=managers.log)
        made = box.shown("cloud", "up", "--bundle", str(bundle), "--yes")
        job = box.shown("job", "submit", str(clevr), "--frames", "1")["job"]
        waited = farms.blendnet("job", "wait", job, "--data", data, timeout_s=PATIENCE_S)
        assert waited.code == 0, waited.err + managers.log() + agents.log()
        got = farms.blendnet("job", "download", job, "--data", data, "--output", tmp_path / "out")
        assert got.code == 0, got.err
        assert [machine.spot for machine in cloud_agents(gce)] == [True]

        kept = {key.rpartition("/")[0].rpartition("/")[0] for _, key in gce.objects}
        assert "store/blobs" in kept, f"files are in the farm's bucket: {kept}"

        box.wait(lambda: not managers.runs(), "the Manager stops itself")
        assert (managers.ended, box.living()) == ([5], []), "its agents go before it"
        looked = box.shown("cloud", "status")
        assert (looked["machine"]["state"], looked["machine"]["disk"]) == ("stopped", made["disk"])
        assert "nothing to do" in looked["manager"]["ended"]

        started = box.shown("cloud", "start")
        assert (started["machine"], started["disk"]) == (made["machine"], made["disk"])
        assert started["address"] != made["address"]
        assert started["manager"]["ca_sha256"] == made["manager"]["ca_sha256"]
        assert [(known["id"], known["state"]) for known in box.shown("job", "list")] == [(job, "completed")]

        gone = box.shown("cloud", "destroy", "--yes")
        assert gone["there"] == []
        assert (agents.trouble, managers.trouble) == ("", "")
        worst = farms.worst_difference(next((tmp_path / "out").glob("*_merged.exr")), reference.result())
        assert max(worst.values()) <= 1
    assert box.shown("cloud", "remains")["there"] == []
    assert (gce.living(), gce.disks, gce.firewalls, gce.buckets, gce.service_accounts) == ([], {}, {}, {}, {})
    assert farms.processes_mentioning(tmp_path) == []


def cloud_agents(gce: FakeGce) -> list[Machine]:
    return [machine for machine in gce.machines if machine.labels["blendnet-role"] == "agent"]
