"""One agent is four times slower than the other: it gives samples away, and the picture is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.throttle import Throttle
from blendnet.agent.blenders import Build
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end
SAMPLES = 1500  # the quick agent has to be idle while much of the slow one's chunk is left, also on a quick machine
QUICK = {"lease_s": 3, "sub_pass_s": 0.5, "preview_interval_s": 0.5, "reconcile_interval_s": 0.2, "tail_worth_s": 0.5}


@pytest.fixture
def uneven_farm(tmp_path: Path, bpy_build: Build) -> Iterator[Path]:
    """Data folder of a farm with a fast agent and a slow one, on which everything happens sooner than usual."""
    with farms.running(tmp_path / "data", **QUICK) as data:
        agents = farms.blendnet("agent", "list", "--data", data, "--json").json
        with Throttle(agents[1]["pid"], share=0.25):
            yield data


def test_frame_is_the_same_when_a_slow_agent_gives_samples_away(
    uneven_farm: Path, scenes_dir: Path, bpy_build: Build, tmp_path: Path
) -> None:
    scene = farms.prepare(
        bpy_build, scenes_dir / "clevr_base_scene.blend", tmp_path / "tail.blend",
        size=(64, 48), samples=SAMPLES, passes=farms.ALL_PASSES,
    )  # fmt: skip
    reference = farms.reference(bpy_build, scene, tmp_path / "plain")
    result = farms.blendnet(
        "render", scene, "--chunk-samples", SAMPLES // 2, "--data", uneven_farm, "--output", tmp_path / "out", "--json"
    )
    assert result.code == 0, result.err
    [frame] = result.json["frames"]
    assert frame["chunks"] > 2
    logs = farms.blendnet("job", "logs", result.json["job"], "--data", uneven_farm, "--json").out.splitlines()
    texts = [json.loads(line)["text"] for line in logs]
    assert any(text.startswith("gives samples") for text in texts)
    assert any(text.startswith("takes samples") for text in texts)
    worst = farms.worst_difference(Path(frame["merged"]), reference)
    assert max(worst.values()) <= 1
