"""The table of passes, for names of all Blender versions."""

from __future__ import annotations

import pytest

from blendnet.merge.layers import approximate_passes, needed_channels, plan_layers
from blendnet.merge.passes import ChannelName, Rule, colour_pass, rule_of, split_channel

RULES = {
    Rule.MEAN: [
        *(
            "Combined",
            "Combined_key",
            "Noisy Image",
            "Emit",
            "Emission",
            "Env",
            "Environment",
            "AO",
            "Shadow",
            "Normal",
        ),
        *("UV", "Mist", "DiffCol", "Diffuse Color", "VolumeDir", "Volume Indirect", "Denoising Normal", "my aov"),
        *("Denoising Depth", "Denoising Albedo", "Vector", "Shadow Catcher", "Ambient Occlusion", "CryptoThing00"),
    ],
    Rule.COPY: ["Depth", "Position", "IndexOB", "IndexMA", "Object Index", "Material Index"],
    Rule.LIGHT: ["DiffDir", "GlossInd", "TransDir", "SubsurfaceInd", "Diffuse Direct", "Transmission Indirect"],
    Rule.CRYPTOMATTE: ["CryptoObject00", "CryptoMaterial02", "CryptoAsset01"],
    Rule.COUNT: ["Debug Sample Count"],
}


@pytest.mark.parametrize(("rule", "name"), [(rule, name) for rule, names in RULES.items() for name in names])
def test_rule_of_knows_the_pass(rule, name) -> None:
    assert rule_of(name) is rule


@pytest.mark.parametrize(
    ("light", "colour"),
    [
        ("DiffDir", "DiffCol"),
        ("GlossInd", "GlossCol"),
        ("SubsurfaceDir", "SubsurfaceCol"),
        ("Transmission Indirect", "Transmission Color"),
        ("VolumeDir", None),
        ("Emit", None),
    ],
)
def test_colour_pass_is_what_the_light_is_divided_by(light, colour) -> None:
    assert colour_pass(light) == colour


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("View Layer.Combined.R", ChannelName("View Layer", "Combined", "", "R")),
        ("Layer.001.Mist.Z", ChannelName("Layer.001", "Mist", "", "Z")),
        ("Mist.Z", ChannelName("", "Mist", "", "Z")),
        ("R", ChannelName("", "Combined", "", "R")),
        ("Z", ChannelName("", "Depth", "", "Z")),
        ("Layer.001.Mist.left.Z", ChannelName("Layer.001", "Mist", "left", "Z")),
        ("left.Mist.Z", ChannelName("left", "Mist", "", "Z")),
    ],
)
def test_split_channel_takes_the_name_apart(channel, name) -> None:
    assert split_channel(channel) == name


def test_plan_layer_falls_back_to_the_mean_and_says_so_when_the_colour_is_missing() -> None:
    light = tuple(f"L.DiffDir.{c}" for c in "RGB")
    (plan,) = plan_layers(light)
    assert plan.means == light
    assert plan.approximate == (("DiffDir", "the file lacks DiffCol"),)


def test_plan_layer_ranks_the_first_matte_alone() -> None:
    names = tuple(
        f"L.{matte}{level}.{c}" for matte in ("CryptoAsset", "CryptoMaterial") for level in ("00", "01") for c in "rgba"
    )
    mattes = plan_layers(names)[0].mattes
    assert [(matte.ranks[0][0], len(matte.ranks), matte.ranked) for matte in mattes] == [
        ("L.CryptoAsset00.r", 4, False),
        ("L.CryptoMaterial00.r", 4, True),
    ]


def test_needed_channels_adds_colours_and_counts() -> None:
    have = ("L.DiffCol.R", "L.DiffDir.R", "L.Debug Sample Count.X", "L.Mist.Z", "M.Debug Sample Count.X")
    assert needed_channels(have, ["L.DiffDir.R"], adaptive=False) == have[:2]
    assert needed_channels(have, ["L.DiffDir.R"], adaptive=True) == have[:3]
    assert needed_channels(have, ["L.Mist.Z"], adaptive=False) == ("L.Mist.Z",)


def test_approximate_passes_tells_only_of_kept_passes() -> None:
    have = ("L.Vector.X", "L.Mist.Z", "L.Shadow Catcher.R")
    notes = approximate_passes(have, ["L.Vector.X", "L.Mist.Z"])
    assert [note.split(":")[0] for note in notes] == ["Vector"]
