"""`blendnet cloud estimate` from the command line to its answer; the probe itself is played (see test_cloud_probe)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blendnet.cli import cloud_estimate
from blendnet.cli.cloud_probe import Aim, Probe
from blendnet.errors import SceneError
from blendnet.provision.bill import Stay
from blendnet.provision.estimate import Pace
from tests.cli.clouds import clouds, set_settings
from tests.cli.conftest import Done
from tests.cli.test_submission import inspection
from tests.manager.farms import Kit
from tests.manager.served import serve

__all__ = ["clouds"]

Run = Callable[..., Done]
GIB = 1 << 30
PROBE = Probe(
    pace=Pace(sample_s=0.5, load_s=4.0, finish_s=1.0), samples=20, seconds=12.0, cores=2, memory_bytes=2 * GIB,
    result_bytes=1e6, segment_bytes=1e7, frames=[1, 3, 5],
)  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scene of three frames with 24 samples that Blender and the probe know."""
    looked = inspection(tmp_path)
    monkeypatch.setattr(cloud_estimate, "find_build", lambda wanted: looked.build)
    monkeypatch.setattr(cloud_estimate, "look_at", lambda path, build, choices: looked)
    plays(monkeypatch, PROBE)
    return looked.path


def plays(monkeypatch: pytest.MonkeyPatch, found: Probe) -> list[Aim]:
    """Let the probe find this; what it was asked for."""
    aims: list[Aim] = []

    def played(inspection: object, aim: Aim, *, say: Callable[[str, float], None]) -> Probe:
        aims.append(aim)
        say("playing", 0.5)
        return found

    monkeypatch.setattr(cloud_estimate, "probe", played)
    return aims


def estimate(run: Run, scene: Path, *args: str) -> Done:
    return run("cloud", "estimate", scene, "--provider", "nimbus", "--region", "moon-1", *args)


def answer(run: Run, scene: Path, *args: str) -> dict[str, Any]:
    done = estimate(run, scene, *args, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_answer_has_cost_and_time_with_the_source_and_age_of_the_price(run: Run, scene: Path) -> None:
    got = answer(run, scene, "--machine", "n.large", "--agents", "2")
    assert (got["machine"], got["zone"], got["spot"], got["agents"]) == ("n.large", "moon-1a", True, 2)
    assert (got["usd_per_hour"], got["price_source"]) == (0.12, "cache")
    assert got["price_age_s"] == pytest.approx(7200, abs=60)
    assert got["usd_range"][0] <= got["usd"] <= got["usd_range"][1]
    assert got["seconds_range"][0] <= got["seconds"] <= got["seconds_range"][1]
    assert got["probe"] | {"samples": 20, "seconds": 12.0, "load_s": 4.0} == got["probe"]
    assert sum(line["usd"] for line in got["lines"]) == pytest.approx(got["usd"], abs=1e-4)
    assert got["assumptions"]


def test_cost_is_the_bill_of_machines_that_stay_so_long(run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_settings(
        monkeypatch, fleet_boot_s="60", fleet_idle_s="200", estimate_preemptions_per_hour="0",
        estimate_disk_gb="0", estimate_address_usd_per_hour="0", estimate_egress_usd_per_gb="0",
    )  # fmt: skip
    got = answer(run, scene, "--machine", "n.large", "--agents", "2")
    # 16 vCPUs, 2 cores here: 8 times as fast. 3 frames x 24 samples for 2 agents.
    stay = Stay(0.0, 0.12, ended_at=got["seconds"] + 200)
    assert got["speed"] == 8.0
    assert got["usd"] == pytest.approx(2 * stay.usd(1e9), abs=1e-4)
    assert got["seconds"] == pytest.approx(60 + 4 + 3 * 24 * 0.5 / 8 / 2, abs=5)


def test_without_a_machine_the_best_few_that_hold_the_scene_are_compared(run: Run, scene: Path) -> None:
    got = answer(run, scene)
    assert {machine["machine"] for machine in got["machines"]} == {"n.large", "n.small", "n.huge", "n.secret"}
    costs = [machine["usd"] for machine in got["machines"]]
    assert costs[:-1] == sorted(costs[:-1])
    assert (costs[-1], got["usd"]) == (None, costs[0])


def test_machines_with_too_little_memory_are_left_out(run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, replace(PROBE, memory_bytes=20 * GIB))
    assert {machine["machine"] for machine in answer(run, scene)["machines"]} == {"n.large", "n.huge"}
    got = answer(run, scene, "--machine", "n.small")
    assert any("of memory, the scene needs" in text for text in got["warnings"])


def test_an_unknown_price_is_null_with_its_reason_and_no_failure(run: Run, scene: Path) -> None:
    done = estimate(run, scene, "--machine", "n.huge", "--on-demand")
    assert done.returncode == 0
    assert "Warning: nobody knows the price of n.huge in moon-1" in done.stderr
    assert "unknown" in done.stdout
    got = answer(run, scene, "--machine", "n.huge", "--on-demand")
    assert (got["usd"], got["usd_range"], got["price_source"], got["usd_per_hour"]) == (None, None, None, None)
    assert got["seconds"] > 0
    assert "nobody knows the price" in got["warnings"][0]


@pytest.mark.parametrize(("args", "spot", "usd"), [([], True, 0.12), (["--on-demand"], False, 0.36)])
def test_spot_is_the_default_where_there_is_spot(
    run: Run, scene: Path, args: list[str], spot: bool, usd: float
) -> None:
    got = answer(run, scene, "--machine", "n.large", *args)
    assert got["spot"] is spot
    assert got["usd_per_hour"] == pytest.approx(usd)
    assert any("taken away" in text for text in got["assumptions"]) is spot


def test_speed_goes_before_vcpus_and_narrows_the_range(run: Run, scene: Path) -> None:
    assumed, said = (answer(run, scene, "--machine", "n.large", *args) for args in ([], ["--speed", "8"]))
    assert assumed["seconds"] == said["seconds"]
    assert said["seconds_range"][1] < assumed["seconds_range"][1]
    assert any("--speed" in text and "8 times" in text for text in said["assumptions"])


def test_a_gpu_is_not_counted_without_speed_and_that_is_said(run: Run, scene: Path) -> None:
    texts = answer(run, scene, "--machine", "n.gpu")["assumptions"]
    assert any("GPU of n.gpu is not counted" in text for text in texts)
    assert not any(
        "not counted" in text for text in answer(run, scene, "--machine", "n.gpu", "--speed", "30")["assumptions"]
    )


def test_an_old_price_is_a_warning(run: Run, scene: Path) -> None:
    options = ("--option", f"age_s={30 * 86_400}")
    assert any(
        "n.large is 30 days old" in text for text in answer(run, scene, "--machine", "n.large", *options)["warnings"]
    )
    assert not any("old" in text for text in answer(run, scene, "--machine", "n.large")["warnings"])


def test_more_agents_than_work_is_a_warning(run: Run, scene: Path) -> None:
    got = answer(run, scene, "--machine", "n.large", "--agents", "500", "--frames", "1", "--samples", "2")
    assert got["agents"] < 500
    assert any("not for 500" in text for text in got["warnings"])


def test_choices_of_the_command_line_reach_the_probe(
    run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    aims = plays(monkeypatch, PROBE)
    got = answer(run, scene, "--frames", "2-4", "--samples", "99", "--resolution", "50", "--probe-seconds", "3")
    assert aims == [Aim(frames=[2, 3, 4], samples=99, resolution=50, seconds=3.0)]
    assert (got["frames"], got["samples"]) == (3, 99)


def test_settings_that_were_changed_are_told_as_such(run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_settings(monkeypatch, fleet_boot_s="33")
    texts = " ".join(answer(run, scene, "--machine", "n.large")["assumptions"])
    assert "33 s after it was wanted (your BLENDNET_FLEET_BOOT_S)" in texts
    assert "default of BLENDNET_FLEET_IDLE_S" in texts


def test_people_get_a_table_with_the_best_marked_and_everything_assumed(run: Run, scene: Path) -> None:
    done = estimate(run, scene)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("best")] == [answer(run, scene)["machine"]]
    assert any(line.startswith("Cost") and "$" in line for line in lines)
    assert "Assumed:" in lines
    assert "Probe: playing" in done.stderr


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["--machine", "n.larg"], 1, "did you mean n.large"),
        (["--machine", "xyz"], 1, "blendnet cloud types"),
        (["--frames", "9-"], 1, "'9-' is not a frame"),
        (["--agents", "0"], 2, "--agents"),
        (["--speed", "0"], 2, "--speed"),
        (["--provider", "nimbsu"], 1, "there is no provider 'nimbsu'"),
        (["--provider", "still"], 1, "they are all the same"),
        (["--provider", "still", "--spot"], 1, "nobody takes them away"),
        (["--provider", "halfway"], 1, "pip install nimbus-sdk"),
        (["--job", "x", "--data", "/nowhere"], 1, "blendnet up"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_refusal_is_one_clear_sentence(run: Run, scene: Path, args: list[str], status: int, words: str) -> None:
    done = estimate(run, scene, *args)
    assert done.returncode == status
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, b"hello", b""], ids=["missing", "text", "empty"])
def test_what_is_no_scene_is_refused_as_by_render(run: Run, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "no.blend"
    if content is not None:
        path.write_bytes(content)
    ours, theirs = estimate(run, path), run("render", path)
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr) == (1, theirs.stderr)


def test_nothing_is_rendered_when_the_provider_does_not_answer(
    run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    aims = plays(monkeypatch, PROBE)
    assert estimate(run, scene, "--provider", "halfway").returncode == 1
    assert aims == []


def test_a_scene_that_fails_in_the_probe_is_an_error_in_its_words(
    run: Run, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def fails(*_: object, say: object) -> Probe:
        raise SceneError("scene.blend cannot be rendered: out of memory")

    monkeypatch.setattr(cloud_estimate, "probe", fails)
    done = estimate(run, scene, "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "scene")


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    """A farm on another machine that the command line is told of."""
    with serve(tmp_path / "farm") as served:
        connection = served.connection()
        set_settings(
            monkeypatch, manager_url=connection.url, manager_ca=str(connection.ca), manager_user=connection.user,
            manager_password_file=str(connection.password_file),
        )  # fmt: skip
        yield Kit(served.farm, tmp_path / "farm")


def test_pace_of_a_job_that_a_farm_has_rendered_is_taken_for_the_probe(
    run: Run, scene: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    aims = plays(monkeypatch, PROBE)
    job = kit.submit()
    assert "has measured nothing yet" in estimate(run, scene, "--job", job.id).stderr
    kit.complete(job)
    view = kit.farm.job(job.id)
    got = answer(run, scene, "--job", job.id, "--machine", "n.large")
    assert aims == []
    assert (got["probe"]["job"], got["speed"]) == (job.id, 1.0)
    assert got["probe"]["sample_s"] == pytest.approx(view.sample_s)
    assert got["probe"]["load_s"] == pytest.approx(view.load_s or 0.0)
    assert any("as fast as an agent of this farm: --speed says it better" in text for text in got["assumptions"])
    assert any(f"job {job.id}" in text for text in got["assumptions"])
    assert any("were not measured" in text for text in got["assumptions"])
