"""Which simulations count as not baked."""

from __future__ import annotations

from types import SimpleNamespace as Thing
from typing import Any

import pytest

from addon.blendnet_addon.lib.baking import note, unbaked


def cache(*, baked: bool = False, external: bool = False) -> Any:
    return Thing(is_baked=baked, use_external=external)


def modifier(kind: str, **facts: Any) -> Any:
    return Thing(name=kind.capitalize(), type=kind, show_render=True, **facts)


def particles(kind: str = "EMITTER", *, physics: str = "NEWTON", dynamics: bool = False, **facts: Any) -> Any:
    settings = Thing(type=kind, physics_type=physics)
    values = {"point_cache": cache(), "cloth": Thing(point_cache=cache()), **facts}
    return Thing(name="Dust", settings=settings, use_hair_dynamics=dynamics, **values)


def block(*modifiers: Any, systems: tuple[Any, ...] = ()) -> Any:
    return Thing(name="Cube", modifiers=modifiers, particle_systems=systems)


def world(point_cache: Any, *, objects: int = 1, enabled: bool = True) -> Any:
    bodies = Thing(objects=[Thing()] * objects)
    return Thing(name="Scene", rigidbody_world=Thing(enabled=enabled, collection=bodies, point_cache=point_cache))


def fluid(kind: str, *, baked: bool = False) -> Any:
    return modifier("FLUID", fluid_type=kind, domain_settings=Thing(has_cache_baked_data=baked))


def paint(surface_format: str) -> Any:
    surface = Thing(is_active=True, surface_format=surface_format, point_cache=cache())
    return modifier("DYNAMIC_PAINT", canvas_settings=Thing(canvas_surfaces=[surface]))


@pytest.mark.parametrize(
    ("thing", "names"),
    [
        (block(modifier("CLOTH", point_cache=cache())), ["Cube: Cloth"]),
        (block(modifier("CLOTH", point_cache=cache(baked=True))), []),
        (block(modifier("SOFT_BODY", point_cache=cache(external=True))), []),
        (block(modifier("SUBSURF")), []),
        (block(fluid("DOMAIN")), ["Cube: Fluid"]),
        (block(fluid("DOMAIN", baked=True)), []),
        (block(fluid("FLOW")), []),
        (block(paint("VERTEX")), ["Cube: Dynamic_paint"]),
        (block(paint("IMAGE")), []),
        (block(systems=(particles(),)), ["Cube: Dust"]),
        (block(systems=(particles(physics="NO"),)), []),
        (block(systems=(particles(point_cache=cache(baked=True)),)), []),
        (block(systems=(particles("HAIR"),)), []),
        (block(systems=(particles("HAIR", dynamics=True),)), ["Cube: Dust"]),
    ],
)
def test_object_names_its_simulations_that_are_not_baked(thing: Any, names: list[str]) -> None:
    assert unbaked([thing], []) == names


def test_modifier_that_is_not_rendered_is_left_out() -> None:
    cloth = modifier("CLOTH", point_cache=cache())
    cloth.show_render = False
    assert unbaked([block(cloth)], []) == []


@pytest.mark.parametrize(
    ("scene", "names"),
    [
        (world(cache()), ["Scene: rigid bodies"]),
        (world(cache(baked=True)), []),
        (world(cache(), objects=0), []),
        (world(cache(), enabled=False), []),
        (Thing(name="Scene", rigidbody_world=None), []),
    ],
)
def test_scene_names_rigid_bodies_that_are_not_baked(scene: Any, names: list[str]) -> None:
    assert unbaked([], [scene]) == names


def test_note_names_a_few_and_counts_the_rest() -> None:
    assert note([]) is None
    text = note([f"Cube: {number}" for number in range(7)])
    assert text
    assert "Cube: 4 and 2 more" in text
    assert "bake them first" in text
