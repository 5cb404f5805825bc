"""The farm simulator: its segments are real, its numbers are right, and a small run ends with every frame completed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.simulator import report
from bench.simulator.options import Options
from bench.simulator.pictures import LAYER, SIZE, Segments
from bench.simulator.record import Record, spread
from bench.simulator.run import simulate
from blendnet.merge import exr
from blendnet.storage.disk import hash_file


def test_segments_are_real_pictures_with_bytes_of_their_own(tmp_path: Path) -> None:
    path, segments = tmp_path / "segment.exr", Segments()
    data, sha256 = segments.make(7)
    path.write_bytes(data)
    assert hash_file(path)[0].hexdigest() == sha256
    assert np.array_equal(exr.read(path).channels[f"{LAYER}.Combined.R"], np.full((SIZE, SIZE), 0.25, np.float32))
    assert segments.make(8)[1] != sha256


@pytest.mark.parametrize(
    ("times", "wanted"),
    [([], (0, 0.0, 0.0)), ([1.0], (1, 1.0, 1.0)), ([float(n) for n in range(100)], (100, 50.0, 99.0))],
    ids=["nothing", "one", "hundred"],
)
def test_spread_tells_median_and_maximum(times: list[float], wanted: tuple[int, float, float]) -> None:
    found = spread(times)
    assert (found.count, found.median_s, found.max_s) == wanted


def test_chunk_of_a_struck_agent_counts_as_recovered_when_it_is_claimed_again() -> None:
    record = Record()
    record.struck("a")
    record.struck("b")
    record.claimed("a")
    record.claimed("c")
    assert (len(record.recovered_s), record.unrecovered) == (1, 1)


@pytest.mark.end_to_end
def test_farm_of_simulated_agents_completes_every_frame_while_they_die(tmp_path: Path) -> None:
    options = Options(
        agents=30,
        chunks=400,
        chunks_per_frame=20,
        jobs=2,
        render_s=0.5,
        lifetime_s=20.0,
        boot_s=1.0,
        rate=60.0,
        rate_s=3.0,
        minutes=8.0,
    )
    outcome = simulate(options)
    assert outcome.problems == []
    assert outcome.struck > 0
    assert outcome.paced.counts["completed"] > 0
    assert not [key for key in outcome.redis_left if key.startswith("celery-task-meta")]
    found = json.loads(json.dumps(report.as_json(outcome)))
    assert report.lines(found)[-1] == "every frame completed, every sample covered exactly once"
