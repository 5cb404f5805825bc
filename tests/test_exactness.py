"""What can be split exactly, what cannot, and whether the reason names the setting that mends it."""

from __future__ import annotations

import pytest

from blendnet.exactness import Assessment, assess, minimum_chunk, obstacles, one_call, warnings
from blendnet.messages import LayerSamples, SceneDescription
from blendnet.models import Exactness, Strategy


def described(**changes) -> SceneDescription:
    fields = {
        "blender": "4.5.15",
        "scene": "Scene",
        "engine": "CYCLES",
        "has_camera": True,
        "frame_start": 1,
        "frame_end": 2,
        "width": 64,
        "height": 36,
        "samples": 128,
        "layers": [LayerSamples(name="ViewLayer", samples=128)],
        "sample_method": "subset",
        "pattern": "AUTOMATIC",
    }
    return SceneDescription(**(fields | changes))


OLD = {"blender": "3.4.1", "sample_method": "offset"}

INEXACT = {
    "seeds": ({"sample_method": "seed", "blender": "3.0.1"}, "render with Blender 4.4 or later"),
    "blue noise in 4.2": ({"sample_method": "offset", "pattern": "BLUE_NOISE", "blender": "4.2.9"}, "Tabulated Sobol"),
    "automatic pattern in 4.2": ({"sample_method": "offset", "blender": "4.2.9"}, "Tabulated Sobol"),
    "no pattern before 4.4": (OLD | {"pattern": ""}, "Tabulated Sobol"),
    "long table": (OLD | {"pattern": "PROGRESSIVE_MULTI_JITTER", "samples": 600}, "up to 256 samples"),
    "auto scrambling before 4.4": (OLD | {"pattern": "SOBOL", "auto_scrambling": True}, "Scrambling Distance"),
    "path guiding": ({"path_guiding": True}, "Path Guiding"),
    "unbiased volumes": ({"unbiased_volumes": True}, "Volumes > Biased"),
    "shadow catcher": ({"shadow_catcher_without_pass": True}, "Passes > Shadow Catcher"),
    "adaptive": ({"adaptive": True}, "Noise Threshold"),
}

EXACT = {
    "4.4 and later": {},
    "4.4 and later, blue noise, any samples": {"pattern": "BLUE_NOISE", "samples": 4096},
    "4.4 and later, auto scrambling": {"auto_scrambling": True},
    "2.93, any pattern and samples": {"sample_method": "chunks", "samples": 600, "blender": "2.93.18"},
    "3.4 Sobol, any samples": OLD | {"pattern": "SOBOL", "samples": 600},
    "3.4 multi-jitter, short": OLD | {"pattern": "PROGRESSIVE_MULTI_JITTER", "samples": 256},
    "4.2 table, short": {"sample_method": "offset", "pattern": "TABULATED_SOBOL", "samples": 256, "blender": "4.2.9"},
    "own samples of a layer": {"layers": [LayerSamples(name="A", samples=7), LayerSamples(name="B", samples=128)]},
}


def test_adaptive_sampling_is_the_only_obstacle_before_3_0() -> None:
    scene = described(sample_method="seed", adaptive=True, blender="2.93.18")
    (reason,) = assess(scene, strategy=Strategy.SPLIT, samples=128).reasons
    assert "Noise Threshold" in reason


@pytest.mark.parametrize("changes", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("strategy", [Strategy.SPLIT, Strategy.FRAME])
def test_scene_is_exact_without_a_reason_when_its_samples_can_be_split(changes, strategy):
    scene = described(**changes)
    assert assess(scene, strategy=strategy, samples=scene.samples) == Assessment(Exactness.EXACT, ())
    assert not one_call(scene, strategy, samples=scene.samples)


@pytest.mark.parametrize(("changes", "setting"), INEXACT.values(), ids=INEXACT)
def test_scene_has_equal_noise_and_the_setting_is_named_when_it_is_split_all_the_same(changes, setting):
    scene = described(**changes)
    assessment = assess(scene, strategy=Strategy.SPLIT, samples=scene.samples)
    assert assessment.exactness is Exactness.EQUAL_NOISE
    assert len(assessment.reasons) == 1
    assert setting in assessment.reasons[0]
    assert assessment.reasons[0].endswith("to be exact")


@pytest.mark.parametrize(("changes", "setting"), INEXACT.values(), ids=INEXACT)
def test_scene_is_rendered_in_whole_frames_in_one_call_when_it_cannot_be_split(changes, setting):
    scene = described(**changes)
    assessment = assess(scene, strategy=Strategy.FRAME, samples=scene.samples)
    assert assessment.exactness is Exactness.WHOLE_FRAMES
    assert setting in assessment.reasons[0]
    assert one_call(scene, Strategy.FRAME, samples=scene.samples)


@pytest.mark.parametrize(("changes", "setting"), INEXACT.values(), ids=INEXACT)
def test_scene_is_exact_when_there_is_one_sample_and_nothing_to_split(changes, setting):
    assert assess(described(**changes), strategy=Strategy.SPLIT, samples=1).exactness is Exactness.EXACT


def test_obstacles_are_all_named_when_there_are_several():
    scene = described(path_guiding=True, adaptive=True, unbiased_volumes=True)
    assert len(obstacles(scene, samples=128)) == 3


def test_samples_of_the_job_decide_and_not_those_of_the_scene():
    scene = described(sample_method="offset", pattern="TABULATED_SOBOL", samples=4096)
    assert obstacles(scene, samples=4096)
    assert not obstacles(scene, samples=256)


def test_split_chunks_are_cut_into_sub_passes_unless_path_guiding_would_forget():
    assert not one_call(described(adaptive=True), Strategy.SPLIT, samples=128)
    assert one_call(described(path_guiding=True), Strategy.SPLIT, samples=128)


def test_chunks_of_an_adaptive_scene_are_long_enough_for_it_to_work():
    assert minimum_chunk(described(adaptive=True)) == 16
    assert minimum_chunk(described()) == 1


def test_time_limit_is_said_not_to_apply_and_costs_no_exactness():
    assessment = assess(described(time_limit_s=90.0), strategy=Strategy.SPLIT, samples=128)
    assert assessment.exactness is Exactness.EXACT
    assert "time limit of 90 s is not applied" in assessment.reasons[0]


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"denoise": True, "denoiser_available": False}, True),
        ({"denoise_nodes": True, "denoiser_available": False}, True),
        ({"denoise": True, "denoise_nodes": True}, False),
        ({"denoiser_available": False}, False),
    ],
)
def test_scene_that_denoises_is_warned_of_a_blender_without_denoiser(changes, warned):
    assert bool(warnings(described(**changes))) is warned
