"""A farm whose Manager is a machine of EC2, from `cloud up` to `cloud destroy`, as its owner goes through it."""

from __future__ import annotations

import contextlib
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from blendnet.cli.connect import manager
from blendnet.errors import BlendNetError
from blendnet.manager.folder import DataFolder
from tests.end_to_end import farms
from tests.end_to_end.aws_box import Aws
from tests.end_to_end.cloud_box import IMAGE, PATIENCE_S, Box, boxed
from tests.end_to_end.manager_box import boxed_managers
from tests.provision.moto_server import REGION, FakeAws, environment, running_aws

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).resolve().parents[2]
OPTIONS = "image=ami-12c6146b; manager_image=ami-12c6146b; prices=c5.large=0.09, c5.large/spot=0.036, m6i.large=0.1"
CARRIED = {
    "cloud_provider": "aws", "cloud_region": REGION, "cloud_options": OPTIONS,
    "fleet_machines": "c5.large", "fleet_max": "1", "fleet_poll_s": "1", "fleet_boot_s": "3",
    "fleet_idle_s": "300", "fleet_end_delay_s": "5", "manager_idle_s": "25", "manager_attended_s": "8",
}  # fmt: skip
"""Settings of the owner: an agent stays until the Manager sends it away."""
LOOK_S = 1.0
QUICK = {"lease_s": "3", "sub_pass_s": "1"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAws]:
    """A fake AWS with TLS, to which every process that the test starts is sent, with the owner's settings."""
    with running_aws(tmp_path / "tls") as fake:
        for name, value in environment(fake).items():
            monkeypatch.setenv(name, value)
        for name, value in CARRIED.items():
            monkeypatch.setenv(f"BLENDNET_{name.upper()}", value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield fake


@contextmanager
def attended(data: Path) -> Iterator[None]:
    """Have an owner who looks at the farm every second, as the add-on does: an idle Manager stays for them."""
    leaving = threading.Event()

    def look() -> None:
        with manager(DataFolder(data)) as client:
            while not leaving.is_set():
                with contextlib.suppress(BlendNetError):  # It may be over before its owner has left.
                    client.farm()
                leaving.wait(LOOK_S)

    with ThreadPoolExecutor(1) as aside:
        looking = aside.submit(look)
        try:
            yield
        finally:
            leaving.set()
        looking.result()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """What the machine fetches, less the wheels, which this environment has."""
    path = tmp_path / "bundle.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(ROOT / "worker_image", "worker_image")
    return path


def test_a_manager_comes_renders_stops_itself_starts_again_knowing_its_jobs_and_goes_without_a_rest(
    aws: FakeAws, bundle: Path, clevr: Path, bpy_build: Build, tmp_path: Path
) -> None:
    data, cloud = tmp_path / "data", Aws(aws)
    with (
        ThreadPoolExecutor(1) as aside,
        boxed(cloud, tmp_path / "agents", **IMAGE) as agents,
        boxed_managers(cloud, tmp_path / "managers", **QUICK) as managers,
    ):
        reference = aside.submit(farms.reference, bpy_build, clevr, tmp_path / "plain")
        box = Box(cloud, agents, data, log=managers.log)
        made = box.shown("cloud", "up", "--bundle", str(bundle), "--yes")
        with attended(data):
            job = box.shown("job", "submit", str(clevr), "--frames", "1")["job"]
            waited = farms.blendnet("job", "wait", job, "--data", data, timeout_s=PATIENCE_S)
            assert waited.code == 0, waited.err + managers.log() + agents.log()
            got = farms.blendnet("job", "download", job, "--data", data, "--output", tmp_path / "out")
            assert got.code == 0, got.err
        assert [machine.spot for machine in aws.machines(made["farm"]) if machine.name] == [True]

        box.wait(lambda: not managers.runs(), "the Manager stops itself")
        assert (managers.ended, box.living()) == ([5], []), "its agents go before it"
        looked = box.shown("cloud", "status")
        assert (looked["machine"]["state"], looked["machine"]["disk"]) == ("stopped", made["disk"])
        assert "nothing to do" in looked["manager"]["ended"]

        started = box.shown("cloud", "start")
        assert (started["machine"], started["disk"]) == (made["machine"], made["disk"])
        with attended(data):
            known = box.shown("job", "list")
            gone = box.shown("cloud", "destroy", "--yes")
        assert started["manager"]["url"] != made["manager"]["url"], "its address is another one"
        assert started["manager"]["ca_sha256"] == made["manager"]["ca_sha256"]
        assert [(one["id"], one["state"]) for one in known] == [(job, "completed")]
        assert gone["there"] == []
        assert (agents.trouble, managers.trouble) == ("", "")
        worst = farms.worst_difference(next((tmp_path / "out").glob("*_merged.exr")), reference.result())
        assert max(worst.values()) <= 1
    assert box.shown("cloud", "remains", "--region", REGION)["there"] == []
    assert [machine for machine in aws.machines(DataFolder(data).label()) if machine.ended_at is None] == []
    assert farms.processes_mentioning(tmp_path) == []
