"""Pure: do sample chunks of a scene merge to the very render of one machine, and if not, which setting is why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blendnet.messages import SceneDescription
from blendnet.models import Exactness, Strategy

TABLE_SAMPLES = 256
"""Before 4.4, tables of sample points have this length at least; chunks of longer frames would use another table."""
MIN_ADAPTIVE_SAMPLES = 16
"""Adaptive sampling does nothing in a render call of fewer samples."""

ANY_LENGTH_PATTERNS = frozenset({"SOBOL"})
TABLE_PATTERNS = frozenset({"PROGRESSIVE_MULTI_JITTER", "TABULATED_SOBOL"})
"""sampling_pattern identifiers that split exactly from 3.1 to 4.3; with 4.4 and later all of them do."""


@dataclass(frozen=True)
class Assessment:
    """How the merged frames will relate to the render of one machine."""

    exactness: Exactness
    reasons: tuple[str, ...]
    """What keeps the scene from being split exactly, each with the setting that would mend it, then what the farm does
    in another way than one machine."""


def assess(description: SceneDescription, *, strategy: Strategy, samples: int) -> Assessment:
    """Judge a scene that is rendered with `samples` samples a frame under `strategy`."""
    reasons = obstacles(description, samples=samples)
    exactness = Exactness.EXACT
    if reasons:
        exactness = Exactness.WHOLE_FRAMES if strategy is Strategy.FRAME else Exactness.EQUAL_NOISE
    return Assessment(exactness, reasons + notes(description))


def notes(description: SceneDescription) -> tuple[str, ...]:
    """What differs from one machine without being a matter of splitting."""
    if description.time_limit_s <= 0:
        return ()
    return (
        f"the scene's time limit of {description.time_limit_s:g} s is not applied: every frame gets all its samples",
    )


def warnings(description: SceneDescription) -> tuple[str, ...]:
    """What the author should know before anything renders, however it is split."""
    if description.denoiser_available or not (description.denoise or description.denoise_nodes):
        return ()
    return (
        f"the scene denoises, but Blender {description.blender} has no denoiser: its pictures stay noisy. "
        "Choose another Blender (--blender) or switch denoising off",
    )


def obstacles(description: SceneDescription, *, samples: int) -> tuple[str, ...]:
    """Why sample chunks would not merge to the very render of one machine; empty when they do."""
    if samples < 2:
        return ()
    found = (rule(description, samples) for rule in _RULES)
    return tuple(reason for reason in found if reason)


def one_call(description: SceneDescription, strategy: Strategy, *, samples: int) -> bool:
    """True when a chunk has to be rendered in a single call of Blender, without sub-passes.

    Whole frames of a scene that cannot be split stay equal to one machine's that way. Path guiding forgets what it
    learned at the end of a call, so its chunks are never cut further.
    """
    if not obstacles(description, samples=samples):
        return False
    return strategy is Strategy.FRAME or description.path_guiding


def minimum_chunk(description: SceneDescription) -> int:
    """Fewest samples that a chunk of this scene should have."""
    return MIN_ADAPTIVE_SAMPLES if description.adaptive else 1


def _no_sample_offset(scene: SceneDescription, samples: int) -> str:
    # Before 3.0 only adaptive sampling keeps Blender from rendering a range: that reason has a rule of its own.
    if scene.sample_method != "seed" or (scene.adaptive and scene.blender.startswith("2.")):
        return ""
    return (
        f"Blender {scene.blender} cannot render a range of samples, so each chunk gets a seed of its own: "
        "render with Blender 4.4 or later to be exact"
    )


def _pattern(scene: SceneDescription, samples: int) -> str:
    if scene.sample_method != "offset" or scene.pattern in ANY_LENGTH_PATTERNS:
        return ""
    if scene.pattern not in TABLE_PATTERNS:
        return (
            f"sampling pattern {scene.pattern or 'of this Blender'} of Blender {scene.blender} depends on the samples "
            f"of the chunk: set Tabulated Sobol with at most {TABLE_SAMPLES} samples, or render with Blender 4.4 or "
            "later to be exact"
        )
    if samples <= TABLE_SAMPLES:
        return ""
    return (
        f"sampling pattern {scene.pattern} of Blender {scene.blender} splits exactly up to {TABLE_SAMPLES} samples, "
        f"not {samples}: use fewer samples, or render with Blender 4.4 or later to be exact"
    )


def _auto_scrambling(scene: SceneDescription, samples: int) -> str:
    if not scene.auto_scrambling or scene.sample_method == "subset":
        return ""
    return (
        "automatic scrambling distance depends on the samples of the chunk: switch off Sampling > Advanced > "
        "Scrambling Distance > Automatic to be exact"
    )


def _path_guiding(scene: SceneDescription, samples: int) -> str:
    if not scene.path_guiding:
        return ""
    return "path guiding learns from earlier samples: switch off Sampling > Path Guiding to be exact"


def _unbiased_volumes(scene: SceneDescription, samples: int) -> str:
    if not scene.unbiased_volumes:
        return ""
    return "unbiased volumes depend on the samples of the chunk: switch on Volumes > Biased to be exact"


def _shadow_catcher(scene: SceneDescription, samples: int) -> str:
    if not scene.shadow_catcher_without_pass:
        return ""
    return (
        "a shadow catcher without its pass cannot be merged exactly: switch on View Layer > Passes > "
        "Shadow Catcher to be exact"
    )


def _adaptive(scene: SceneDescription, samples: int) -> str:
    if not scene.adaptive:
        return ""
    return (
        "adaptive sampling decides from the samples of each chunk: switch off Sampling > Render > Noise Threshold "
        "to be exact"
    )


_RULES: tuple[Callable[[SceneDescription, int], str], ...] = (
    _no_sample_offset,
    _pattern,
    _auto_scrambling,
    _path_guiding,
    _unbiased_volumes,
    _shadow_catcher,
    _adaptive,
)
"""One rule for each cause that was measured: a reason, or '' when the scene is not concerned."""
