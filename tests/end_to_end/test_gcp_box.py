"""The whole chain on Google Cloud in a box: real clients, machines made by user data, the bill to the cent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms
from tests.end_to_end.cloud_box import IMAGE, Box, boxed, render_and_lose_two
from tests.end_to_end.gce_box import Gce
from tests.provision.fake_gce import PROJECT, FakeGce
from tests.provision.fake_gce_skus import IOWA, ON_DEMAND, SPOT, catalog

pytestmark = pytest.mark.end_to_end
RATES = [
    ("E2 Instance Core running in Americas", ON_DEMAND, "CPU", "h", 18.0, IOWA),
    ("E2 Instance Ram running in Americas", ON_DEMAND, "RAM", "GiBy.h", 1.125, IOWA),
    ("Spot Preemptible E2 Instance Core running in Americas", SPOT, "CPU", "h", 7.0, IOWA),
    ("Spot Preemptible E2 Instance Ram running in Americas", SPOT, "RAM", "GiBy.h", 0.5, IOWA),
    ("Compute optimized Core running in Americas", ON_DEMAND, "CPU", "h", 5.0, IOWA),
    ("Compute optimized Ram running in Americas", ON_DEMAND, "RAM", "GiBy.h", 0.5, IOWA),
    ("Spot Preemptible Compute optimized Core running in Americas", SPOT, "CPU", "h", 2.0, IOWA),
    ("Spot Preemptible Compute optimized Ram running in Americas", SPOT, "RAM", "GiBy.h", 0.25, IOWA),
]
USD = {
    ("e2-standard-4", True): 36.0, ("e2-standard-4", False): 90.0,
    ("c2-standard-16", True): 48.0, ("c2-standard-16", False): 112.0,
}  # fmt: skip
"""What these come to, in dollars per hour by type and spot: a cent a second and more, so that no second can hide."""
SETTINGS = {
    "fleet_provider": "gcp", "cloud_provider": "gcp", "cloud_region": IOWA, "cloud_options": f"project={PROJECT}",
    "fleet_machines": "e2-standard-4,c2-standard-16", "fleet_max": "2", "fleet_poll_s": "1", "fleet_boot_s": "3",
    "fleet_idle_s": "3", "fleet_end_delay_s": "60", "lease_s": "3", "sub_pass_s": "1",
    # What the fake bills: machines.
    "estimate_disk_gb": "0", "estimate_address_usd_per_hour": "0", "estimate_egress_usd_per_gb": "0",
}  # fmt: skip
FARM = {f"BLENDNET_{name.upper()}": value for name, value in SETTINGS.items()}


@pytest.fixture
def gce(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGce]:
    """A fake Google Cloud, to which every process that the test starts is sent."""
    fake = FakeGce()
    fake.skus = catalog(RATES)
    with fake.served():
        monkeypatch.setenv("BLENDNET_GCP_ENDPOINT", fake.url)
        yield fake


def test_machines_come_are_taken_back_are_replaced_and_go_and_the_bill_is_googles_to_the_cent(
    gce: FakeGce, frame: Path, bpy_build: Build, tmp_path: Path
) -> None:
    data, google = tmp_path / "data", Gce(gce)
    prepared = farms.blendnet("cloud", "prepare", "--data", data, "--json", **FARM)
    assert prepared.code == 0, prepared.err
    with ThreadPoolExecutor(1) as aside, boxed(google, tmp_path / "machines", **IMAGE) as cloud:
        reference = aside.submit(farms.reference, bpy_build, frame, tmp_path / "plain")
        started = farms.blendnet("up", "--agents", "0", "--listen", "127.0.0.1", "--data", data, **FARM)
        assert started.code == 0, started.err
        box = Box(google, cloud, data)
        try:
            taken = render_and_lose_two(box, frame, tmp_path / "out")
            costs, fleet = box.shown("costs"), box.shown("fleet")
        finally:
            farms.blendnet("down", "--data", data)
        worst = farms.worst_difference(next((tmp_path / "out").glob("*_merged.exr")), reference.result())
        assert max(worst.values()) <= 1
        assert (fleet["machines"], fleet["trouble"], fleet["stopped"]) == ([], "", "")
        assert (cloud.switched_on(), cloud.trouble) == ([], "")
    launched = google.machines()
    assert google.taken == [machine.id for machine in taken]
    assert len(launched) > len(taken), "others came in their place"
    assert gce.living() == []
    assert costs["in_all"]["unpriced_s"] == 0
    bill_usd = gce.bill(lambda machine, spot: USD[machine, spot], gce.clock())
    assert round(costs["in_all"]["total_usd"], 2) == round(bill_usd, 2)
    assert {agent["agent"]: agent["lives"] for agent in costs["in_all"]["agents"]} == {m.name: 1 for m in launched}
    removed = farms.blendnet("cloud", "remove", "--yes", "--data", data, "--json", **FARM)
    assert (removed.code, removed.json["there"]) == (0, []), removed.err
    assert farms.processes_mentioning(tmp_path) == []
