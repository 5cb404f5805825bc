"""The whole chain on a cloud in a box: a farm without machines renders, loses some, and knows its bill to the cent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from blendnet.manager.folder import DataFolder
from tests.end_to_end import farms
from tests.end_to_end.aws_box import Aws
from tests.end_to_end.cloud_box import IMAGE, PATIENCE_S, Box, boxed, render_and_lose_two
from tests.provision.moto_server import REGION, FakeAws, Machine, environment, running_aws

pytestmark = pytest.mark.end_to_end
SMOKE_TEST = Path(__file__).resolve().parents[2] / "examples" / "cloud_smoke.sh"
USD = {("c5.large", True): 36.0, ("c5.large", False): 90.0, ("m5.large", True): 45.0, ("m5.large", False): 108.0}
"""Dollars per hour by type and spot: a cent a second and more, so that no second can hide."""
OPTIONS = "image=ami-12c6146b; prices=" + ", ".join(
    f"{machine}{'/spot' if spot else ''}={usd:g}" for (machine, spot), usd in USD.items()
)
SETTINGS = {
    "fleet_provider": "aws", "cloud_provider": "aws", "cloud_region": REGION, "cloud_options": OPTIONS,
    "fleet_machines": "c5.large,m5.large", "fleet_max": "2", "fleet_poll_s": "1", "fleet_boot_s": "3",
    "fleet_idle_s": "3", "fleet_end_delay_s": "60", "lease_s": "3", "sub_pass_s": "1",
    # What the fake bills: machines.
    "estimate_disk_gb": "0", "estimate_address_usd_per_hour": "0", "estimate_egress_usd_per_gb": "0",
}  # fmt: skip
FARM = {f"BLENDNET_{name.upper()}": value for name, value in SETTINGS.items()}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """A fake AWS, to which every process that the test starts is sent."""
    with running_aws() as fake:
        for name, value in environment(fake).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield fake


def test_machines_come_are_taken_back_are_replaced_and_go_and_the_bill_is_right_to_the_cent(
    aws: FakeAws, frame: Path, bpy_build: Build, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    # One at a time: with two of them the last one might end the work before another is worth it.
    alone = {**FARM, "BLENDNET_FLEET_MAX": "1"}
    prepared = farms.blendnet("cloud", "prepare", "--data", data, "--json", **FARM)
    assert prepared.code == 0, prepared.err
    label = prepared.json["farm"]
    with ThreadPoolExecutor(1) as aside, boxed(Aws(aws), tmp_path / "machines", **IMAGE) as cloud:
        reference = aside.submit(farms.reference, bpy_build, frame, tmp_path / "plain")
        started = farms.blendnet("up", "--agents", "0", "--listen", "127.0.0.1", "--data", data, **alone)
        assert started.code == 0, started.err
        box = Box(Aws(aws), cloud, data)
        try:
            taken = render_and_lose_two(box, frame, tmp_path / "out")
            costs, fleet = box.shown("costs"), box.shown("fleet")
        finally:
            farms.blendnet("down", "--data", data)
        worst = farms.worst_difference(next((tmp_path / "out").glob("*_merged.exr")), reference.result())
        assert max(worst.values()) <= 1
        assert (fleet["machines"], fleet["trouble"], fleet["stopped"]) == ([], "", "")
        assert (cloud.switched_on(), cloud.trouble) == ([], "")
    launched = aws.machines(label)
    assert [machine.id for machine in launched if machine.interrupted] == [machine.id for machine in taken]
    assert {machine.spot for machine in launched} == {True, False}, "when spot machines are taken back, others come"
    assert [machine for machine in launched if machine.ended_at is None] == []
    assert costs["in_all"]["unpriced_s"] == 0
    assert round(costs["in_all"]["total_usd"], 2) == round(bill_usd(launched), 2)
    assert {agent["agent"]: agent["lives"] for agent in costs["in_all"]["agents"]} == {m.name: 1 for m in launched}
    removed = farms.blendnet("cloud", "remove", "--yes", "--data", data, "--json", **FARM)
    assert (removed.code, removed.json["there"]) == (0, []), removed.err
    assert farms.processes_mentioning(tmp_path) == []


def test_a_farm_that_is_ended_ends_its_machines_and_is_removed_without_a_rest(
    aws: FakeAws, frame: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    prepared = farms.blendnet("cloud", "prepare", "--data", data, "--json", **FARM)
    started = farms.blendnet("up", "--agents", "0", "--listen", "127.0.0.1", "--data", data, **FARM)
    assert (prepared.code, started.code) == (0, 0), prepared.err + started.err
    living = lambda: [m for m in aws.machines(prepared.json["farm"]) if m.ended_at is None]  # noqa: E731
    try:
        assert farms.blendnet("job", "submit", frame, "--data", data).code == 0
        farms.wait_until(living, "a machine was asked for", PATIENCE_S)
        early = farms.blendnet("cloud", "remove", "--yes", "--data", data, **FARM)
        assert (early.code, "`blendnet down`" in early.err) == (1, True)
        assert living() != []
    finally:
        farms.blendnet("down", "--data", data)
    assert living() == []
    removed = farms.blendnet("cloud", "remove", "--yes", "--data", data, "--json", **FARM)
    assert (removed.code, removed.json["there"]) == (0, []), removed.err


def test_the_paid_test_renders_ends_a_machine_and_leaves_nothing_behind(
    aws: FakeAws, frame: Path, tmp_path: Path
) -> None:
    places = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "SMOKE_DATA": str(tmp_path / "data")}
    command = [SMOKE_TEST, "aws", frame, "127.0.0.1"]
    with boxed(Aws(aws), tmp_path / "machines", **IMAGE) as cloud:
        environment = {**os.environ, **FARM, **places, "SMOKE_USD": "40", "SMOKE_LOOK_S": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE_S)
        assert (done.returncode, cloud.trouble) == (0, ""), done.stdout + done.stderr + cloud.log()
    launched = aws.machines(DataFolder(tmp_path / "data").label())
    assert len(launched) >= 2
    assert [machine for machine in launched if machine.ended_at is None] == []
    assert "total" in done.stdout
    assert next((tmp_path / "data" / "pictures").glob("*_merged.exr")).stat().st_size > 0
    assert "Nothing of blendnet-" in done.stdout, "nothing is left in the account"


def bill_usd(machines: Iterable[Machine]) -> float:
    """What the cloud writes on its bill, from its own log: by the second, at least a minute each."""
    total = 0.0
    for machine in machines:
        assert machine.ended_at is not None
        seconds = max(60.0, machine.ended_at - machine.launched_at)
        total += seconds * USD[machine.machine, machine.spot] / 3600
    return total
