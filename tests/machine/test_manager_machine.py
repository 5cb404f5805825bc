"""From a bare Debian to a Manager and back, with real systemd: `make machine` (root, minutes, network).

BLENDNET_TEST_DEBIAN: the bare Debian, a folder that `make machine` makes; it is copied, not changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from blendnet.provision import stock
from blendnet.settings import get_settings
from tests.agent.metadata_fakes import Fake, metadata_service
from tests.cli.clouds import set_settings
from tests.cli.conftest import Done, run
from tests.conftest import ROOT
from tests.machine.container import MACHINES, Container
from tests.manager.served import wait_until
from tests.provision.bundle_server import serving
from tests.provision.example_provider import install_package
from tests.storage.moto_bucket import Moto, moto

__all__ = ["moto", "run"]

PROJECT = {
    "name": "blendnet-container",
    "version": "1",
    "entry-points": {"blendnet.providers": {"container": "container_cloud:Provider"}},
}
DEBIAN = os.environ.get("BLENDNET_TEST_DEBIAN", "")
IDLE_LIMIT_S = 240.0
pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(not DEBIAN or os.geteuid() != 0, reason="needs root and a bare Debian: run `make machine`"),
]
Run = Callable[..., Done]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("www") / "bundle.tar.gz"
    subprocess.run(["bash", ROOT / "worker_image" / "bundle.sh", path], check=True, capture_output=True)
    return path


@pytest.fixture
def metadata() -> Iterator[Fake]:
    with metadata_service() as fake:
        fake.address = "127.0.0.1"
        yield fake


@pytest.fixture
def machine(
    tmp_path: Path, bundle: Path, moto: Moto, metadata: Fake, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Container]:
    root = tmp_path / "debian"
    subprocess.run(["cp", "--archive", DEBIAN, root], check=True)
    source = "from tests.machine.container import Provider\n"
    install_package(tmp_path / "site", monkeypatch, module="container_cloud", source=source, project=PROJECT)
    with serving(bundle.parent, tmp_path / "tls") as server:
        url = f"{server.url}/{bundle.name}"
        environment = {"BLENDNET_NOTICE_URL": metadata.url, "BLENDNET_DISK_WAIT_S": "5"}
        made = Container(tmp_path, root, moto, moto.bucket(), url, environment)
        made.attach_disk()
        made.trust(server.ca)
        MACHINES.append(made)
        set_settings(
            monkeypatch, data=str(tmp_path / "home"), cloud_provider="container", cloud_region="", cloud_options="",
            worker_bundle=str(bundle), manager_attended_s="10",
        )  # fmt: skip
        yield made
        MACHINES.remove(made)
        made.close()
        shutil.rmtree(root)
    get_settings.cache_clear()


def done_json(run: Run, *arguments: str) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, f"{done.stderr}\n{MACHINES[-1].boots} boots"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_bare_debian_becomes_the_manager_ends_when_idle_and_goes_on(machine: Container, run: Run) -> None:
    first = done_json(run, "cloud", "up", "--yes", "--idle", "0.5")
    assert first["manager"]["url"] == "https://127.0.0.1:443"
    assert {process["role"] for process in done_json(run, "status")["processes"]} == {"api", "redis", "control"}
    assert "the farm is up" in done_json(run, "cloud", "logs")["manager"]

    # Nothing to do: the service ends, its unit powers the machine off, and the bucket says why.
    wait_until(lambda: not machine.runs(), IDLE_LIMIT_S)
    ended = done_json(run, "cloud", "status")
    assert (ended["machine"]["state"], ended["manager"]["answers"]) == ("stopped", False)
    assert "nothing to do" in ended["manager"]["ended"]
    assert "blendnet cloud start" in run("job", "list").stderr

    # The same disk, the same authority, and nothing installed again.
    again = done_json(run, "cloud", "start")
    assert again["manager"]["ca_sha256"] == first["manager"]["ca_sha256"]
    console = done_json(run, "cloud", "logs")["console"]
    assert "gets a file system" not in console
    assert "blendnet: installing" not in console

    assert done_json(run, "cloud", "stop", "--yes")["state"] == "stopped"
    assert not machine.runs()


def test_a_machine_without_its_disk_powers_itself_off(machine: Container, run: Run) -> None:
    with Path(machine.loop).open("r+b") as disk:
        disk.write(b"somebody else's data")
    done = run("cloud", "up", "--yes")
    assert done.returncode == 1
    assert not machine.runs()
    assert "has ended instead of becoming the Manager" in done.stderr
    assert "none that is empty" in done.stderr


def test_a_first_boot_that_failed_is_tried_again_until_the_machine_is_a_manager(
    machine: Container, bundle: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "FETCH", stock.FETCH.replace("(5, 10, 20, 40, 60, 60, 0)", "(1, 0)"))
    monkeypatch.setattr(stock, "BECOME", stock.BECOME.replace(f"RestartSec={stock.AGAIN_S}", "RestartSec=3"))
    late = bundle.with_name("late.tar.gz")
    machine.bundle_url = machine.bundle_url.replace(bundle.name, late.name)

    def console() -> str:
        path = machine.folder / f"console-{machine.boots}"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def mend() -> None:
        try:
            wait_until(lambda: console().count("NOT ready: cannot fetch the bundle") >= 2, IDLE_LIMIT_S)
        finally:
            shutil.copy(bundle, late)

    with ThreadPoolExecutor(1) as meanwhile:
        mended = meanwhile.submit(mend)
        made = done_json(run, "cloud", "up", "--yes")
        mended.result()
    assert made["manager"]["url"] == "https://127.0.0.1:443"
    assert "NOT ready: cannot fetch the bundle (status 1)" in done_json(run, "cloud", "logs")["console"]
    assert done_json(run, "cloud", "stop", "--yes")["state"] == "stopped"
