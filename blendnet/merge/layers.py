"""What has to be done with each channel of a view layer, worked out once from the channel names. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from blendnet.merge.passes import (
    CRYPTOMATTES,
    SAMPLE_COUNT,
    Rule,
    approximate,
    colour_pass,
    cryptomatte_level,
    rule_of,
    split_channel,
)


@dataclass(frozen=True)
class LightGroup:
    """A colour pass and the light passes that are stored divided by it. Rows are components (R, G, B)."""

    colour: tuple[str, ...]
    """Channels of the colour pass."""
    lights: tuple[tuple[str, ...], ...]
    """For every light pass its channels, in the order of `colour`."""


@dataclass(frozen=True)
class Matte:
    """The channels of one Cryptomatte."""

    ranks: tuple[tuple[str, str], ...]
    """(id, coverage) channels by rank."""
    ranked: bool
    """True for the first matte of the layer: Cycles sorts only that one by coverage (seen in 3.4, 4.5 and 5.0) and
    leaves the others in order of arrival."""


@dataclass(frozen=True)
class LayerPlan:
    """The channels of one view layer (of one eye, in stereo) by rule."""

    channels: tuple[str, ...]
    """All of them."""
    means: tuple[str, ...]
    """Weighted means, the colour passes of `lights` among them."""
    counts: tuple[str, ...]
    copies: tuple[str, ...]
    lights: tuple[LightGroup, ...]
    mattes: tuple[Matte, ...]
    combined: tuple[str, ...]
    """R, G, B, A channels of the picture, those that are there."""
    sample_count: str | None
    """The channel with the fraction of samples taken."""
    approximate: tuple[tuple[str, str], ...]
    """(pass, reason) for every pass whose merge only comes close to the one-machine render."""


@lru_cache(maxsize=256)
def layers_of(channels: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """View layer -> its channels, in the given order."""
    layers: dict[str, list[str]] = {}
    for channel in channels:
        layers.setdefault(split_channel(channel).layer, []).append(channel)
    return {layer: tuple(names) for layer, names in layers.items()}


@lru_cache(maxsize=256)
def plan_layers(channels: tuple[str, ...]) -> tuple[LayerPlan, ...]:
    """Sort channels by the rule that merges them: a plan for every view layer and, in stereo, eye."""
    groups: dict[tuple[str, str], list[str]] = {}
    for channel in channels:
        name = split_channel(channel)
        groups.setdefault((name.layer, name.view), []).append(channel)
    return tuple(_plan(names) for names in groups.values())


def _plan(channels: list[str]) -> LayerPlan:
    passes: dict[str, dict[str, str]] = {}
    for channel in channels:
        name = split_channel(channel)
        passes.setdefault(name.pass_name, {})[name.component] = channel
    by_rule: dict[Rule, list[str]] = {rule: [] for rule in Rule}
    for pass_name in passes:
        by_rule[_usable_rule(pass_name, passes)].append(pass_name)
    return LayerPlan(
        channels=tuple(channels),
        means=_channels(passes, by_rule[Rule.MEAN]),
        counts=_channels(passes, by_rule[Rule.COUNT]),
        copies=_channels(passes, by_rule[Rule.COPY]),
        lights=_light_groups(passes, by_rule[Rule.LIGHT]),
        mattes=_mattes(passes, by_rule[Rule.CRYPTOMATTE]),
        combined=tuple(passes["Combined"][c] for c in "RGBA" if c in passes["Combined"])
        if "Combined" in passes
        else (),
        sample_count=next(iter(passes.get(SAMPLE_COUNT, {}).values()), None),
        approximate=_approximate(passes, by_rule[Rule.MEAN]),
    )


def needed_channels(channels: tuple[str, ...], kept: Iterable[str], *, adaptive: bool) -> tuple[str, ...]:
    """`kept` and what merging them takes from `channels`: colour passes beside light passes, sample counts."""
    wanted = set(kept)
    for plan in plan_layers(channels):
        for group in plan.lights:
            if any(not wanted.isdisjoint(light) for light in group.lights):
                wanted.update(group.colour)
        if adaptive and plan.sample_count and not wanted.isdisjoint(plan.channels):
            wanted.add(plan.sample_count)
    return tuple(channel for channel in channels if channel in wanted)


def approximate_passes(read: tuple[str, ...], kept: Iterable[str]) -> tuple[str, ...]:
    """'pass: reason' for every pass among `kept` that cannot be merged exactly from the channels `read`."""
    passes = {split_channel(channel).pass_name for channel in kept}
    notes = {note for plan in plan_layers(read) for note in plan.approximate}
    return tuple(f"{name}: {reason}" for name, reason in sorted(notes) if name in passes)


def different_channels(mine: Sequence[str], others: Sequence[str]) -> str | None:
    """'other channels: ViewLayer.Mist.Z is missing'; None when both are the same."""
    missing, extra = sorted(set(mine) - set(others)), sorted(set(others) - set(mine))
    if not missing and not extra:
        return None
    return f"other channels: {missing[0]} is missing" if missing else f"other channels: {extra[0]} is new"


def _usable_rule(pass_name: str, passes: dict[str, dict[str, str]]) -> Rule:
    """The rule of a pass, or the plain mean where the file lacks what the rule takes."""
    rule = rule_of(pass_name)
    if rule is Rule.LIGHT and set(passes[pass_name]) - set(passes.get(colour_pass(pass_name) or "", {})):
        return Rule.MEAN
    if rule is Rule.CRYPTOMATTE and {c.lower() for c in passes[pass_name]} != set("rgba"):
        return Rule.COPY
    return rule


def _channels(passes: dict[str, dict[str, str]], names: list[str]) -> tuple[str, ...]:
    return tuple(channel for name in names for channel in passes[name].values())


def _light_groups(passes: dict[str, dict[str, str]], names: list[str]) -> tuple[LightGroup, ...]:
    by_colour: dict[str, list[str]] = {}
    for name in names:
        by_colour.setdefault(colour_pass(name) or "", []).append(name)
    groups = []
    for colour, lights in by_colour.items():
        components = sorted(passes[colour], key="RGB".find)
        rows = tuple(tuple(passes[light][c] for c in components) for light in lights)
        groups.append(LightGroup(tuple(passes[colour][c] for c in components), rows))
    return tuple(groups)


def _mattes(passes: dict[str, dict[str, str]], names: list[str]) -> tuple[Matte, ...]:
    mattes: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(names, key=cryptomatte_level):
        of = {component.lower(): channel for component, channel in passes[name].items()}
        mattes.setdefault(cryptomatte_level(name)[0], []).extend([(of["r"], of["g"]), (of["b"], of["a"])])
    first = min(mattes, key=CRYPTOMATTES.index, default=None)
    return tuple(Matte(tuple(ranks), ranked=name == first) for name, ranks in mattes.items())


def _approximate(passes: dict[str, dict[str, str]], means: list[str]) -> tuple[tuple[str, str], ...]:
    notes = {name: reason for name in passes if (reason := approximate(name))}
    notes |= {name: f"the file lacks {colour_pass(name)}" for name in means if rule_of(name) is Rule.LIGHT}
    return tuple(sorted(notes.items()))
