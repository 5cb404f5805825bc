"""How a Blender ended, judged by its exit status and its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from blendnet.agent.crash import complaints, crash_kind, crash_message, last_words, starved


@pytest.mark.parametrize(
    ("code", "words"), [(-11, "signal SIGSEGV"), (3, "exit status 3"), (None, "closed its pipes"), (-99, "signal 99")]
)
def test_crash_message_says_how_blender_ended(code: int | None, words: str) -> None:
    assert words in crash_message(Build("4.5.15", "wheel", Path("x")), "render", code)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("Fra:1 | Building BVH\nWriting: /tmp/x.crash.txt\n\n# Python backtrace\n", "crash", "Fra:1 | Building BVH"),
        ("Malloc returns null: len=8 in mesh\nFra:2 | Synchronizing\n", "memory", "Malloc returns null: len=8 in mesh"),
        ("Fra:2 | Synchronizing\n", "memory", "Fra:2 | Synchronizing"),
        ("No space left on device\nTraceback\n", "disk", "No space left on device"),
        ("Writing: /tmp/x.crash.txt\n", "crash", ""),
        ("x" * 1000, "crash", "x" * 300),
    ],
)
def test_last_words_are_those_that_tell_why(said: str, kind: str, words: str) -> None:
    assert last_words(said, kind) == words


@pytest.mark.parametrize(
    ("code", "said", "by_us", "oom_kills", "kind"),
    [
        (-11, "Fra:1 | Building BVH", False, 0, "crash"),
        (-9, "", False, 0, "crash"),
        (-9, "", False, 1, "memory"),
        (-9, "", True, 1, "crash"),
        (-11, "", False, 1, "crash"),
        (-11, "Malloc returns null: len=800000 in mesh, total 9", False, 0, "memory"),
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", False, 0, "memory"),
        (None, "MemoryError", False, 0, "memory"),
        (-6, "malloc(): corrupted top size", False, 0, "crash"),
        (120, "Render error (No space left on device) cannot save: '/x.exr'", False, 0, "disk"),
    ],
)
def test_crash_for_lack_of_memory_or_room_is_told_from_others(
    code: int | None, said: str, by_us: bool, oom_kills: int, kind: str
) -> None:
    assert crash_kind(code, said, killed_by_us=by_us, oom_kills=oom_kills) == kind


def test_blender_that_went_on_without_memory_is_recognised() -> None:
    assert starved("Fra:1\nCalloc returns null: len=12 in bvh, total 3\nFra:1 Sample 3")
    assert not starved("Fra:1 Mem:9000.00M (Peak 9000.00M)")


def test_modifiers_that_blender_gave_up_are_told_once() -> None:
    line = (
        'ERROR (bke.modifier): ./modifier.cc:458 BKE_modifier_set_error: Object: "Cube", Modifier: "many", Too high\n'
    )
    assert complaints(f"Fra:1\n{line}{line}Fra:1 Sample 3") == ["object 'Cube', modifier 'many': Too high"]
    assert complaints("Fra:1 Mem:9.00M | Scene, ViewLayer | Synchronizing object | Cube") == []
