"""The life of a Manager in a cloud, as its owner goes through it, from `cloud up` to `cloud destroy`."""

from __future__ import annotations

import contextlib
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blendnet.cli.connect import manager
from blendnet.errors import BlendNetError
from blendnet.manager.folder import DataFolder
from tests.end_to_end import farms
from tests.end_to_end.cloud_box import PATIENCE_S, Box
from tests.end_to_end.manager_box import ManagerBox

ROOT = Path(__file__).resolve().parents[2]
LOOK_S = 1.0
CARRIED = {
    "fleet_max": "1", "fleet_poll_s": "1", "fleet_boot_s": "3", "fleet_idle_s": "300", "fleet_end_delay_s": "5",
    "manager_idle_s": "25", "manager_attended_s": "8",
}  # fmt: skip
"""Settings of the owner, besides the cloud's: an agent stays until the Manager sends it away."""
QUICK = {"lease_s": "3", "sub_pass_s": "1"}
"""For the Manager, so that it waits less."""


def pack(path: Path) -> Path:
    """The bundle that the machine fetches, less the wheels, which this environment has."""
    with tarfile.open(path, "w:gz") as archive:
        archive.add(ROOT / "worker_image", "worker_image")
    return path


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


def live(
    box: Box, managers: ManagerBox, scene: Path, out: Path, rendered: Callable[[], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Manager comes, renders a frame, stops itself, starts again knowing its job, and goes with all that was made.

    `rendered()` is called when the frame is there. What `cloud up` and `cloud start` have said.
    """
    made = box.shown("cloud", "up", "--bundle", str(pack(out.with_suffix(".bundle"))), "--yes")
    with attended(box.data):
        job = box.shown("job", "submit", str(scene), "--frames", "1")["job"]
        waited = farms.blendnet("job", "wait", job, "--data", box.data, timeout_s=PATIENCE_S)
        assert waited.code == 0, waited.err + managers.log() + box.cloud.log()
        got = farms.blendnet("job", "download", job, "--data", box.data, "--output", out)
        assert got.code == 0, got.err
    rendered()

    box.wait(lambda: not managers.runs(), "the Manager stops itself")
    assert (managers.ended, box.living()) == ([5], []), "its agents go before it"
    looked = box.shown("cloud", "status")
    assert (looked["machine"]["state"], looked["machine"]["disk"]) == ("stopped", made["disk"])
    assert "nothing to do" in looked["manager"]["ended"]

    started = box.shown("cloud", "start")
    with attended(box.data):
        known = box.shown("job", "list")
        gone = box.shown("cloud", "destroy", "--yes")
    assert (started["machine"], started["disk"]) == (made["machine"], made["disk"])
    assert started["manager"]["ca_sha256"] == made["manager"]["ca_sha256"]
    assert [(one["id"], one["state"]) for one in known] == [(job, "completed")]
    assert gone["there"] == []
    assert (box.cloud.trouble, managers.trouble) == ("", "")
    return made, started
