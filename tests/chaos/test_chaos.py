"""A few minutes of chaos with fixed seeds. `make chaos` runs longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from tests.chaos.report import plan_of, table
from tests.chaos.session import Session

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]
SEEDS = ("ci-1",)
RATE_S = 2.5
SECONDS = 120.0


def check(session: Session, seconds: float) -> None:
    """Run; when anything is found fail with all it takes to see it again."""
    session.run(seconds=seconds)
    faults = "\n".join(f"batch {batch.seed}\n{plan_of(batch)}" for batch in session.batches)
    assert not session.findings, f"{session.findings}\nlogs: {session.kept}\n{faults}"
    print(table(session.batches, session.left_out))  # noqa: T201 - `pytest -s` shows it


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_are_the_same_when_everything_fails_at_random(bpy_build: Build, scenes_dir: Path, seed: str) -> None:
    session = Session(build=bpy_build, source=scenes_dir / "clevr_base_scene.blend", seed=seed, rate_s=RATE_S)
    check(session, SECONDS)
    assert sum(len(batch.faults) for batch in session.batches) >= 5


def test_frames_wait_for_space_and_none_fails_when_the_disk_is_full_again_and_again(
    bpy_build: Build, scenes_dir: Path
) -> None:
    session = Session(
        build=bpy_build, source=scenes_dir / "clevr_base_scene.blend", seed="disk", rate_s=8.0,
        wanted=["disk full"], combine=False, settings={"MAX_ATTEMPTS": 1},
    )  # fmt: skip
    check(session, 0)
    if session.left_out:
        pytest.skip(str(session.left_out))
