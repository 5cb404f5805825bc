"""How a Blender ended, judged by its exit status and its last words."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from blendnet.agent.blenders import Build

CRASH_FILE_BYTES = 6_000
NULL_WORDS = ("malloc returns null", "calloc returns null", "mallocn returns null", "callocn returns null")
"""Blender's own words when it got no memory; it goes on, for better or worse."""
MEMORY_WORDS = (*NULL_WORDS, "out of memory", "bad_alloc", "memoryerror", "cannot allocate memory")

GIVEN_UP = re.compile(r'Object: "([^"\n]*)", Modifier: "([^"\n]*)", ([^\n]+)')
"""What Blender (2.83 to 5) prints of a modifier that cannot do its work: for lack of memory, or of anything else."""
DISK_WORDS = ("no space left on device", "disk quota exceeded")
BARE_WORDS = ("#", "Writing: ", "Read blend: ", "Saved: ")
"""Lines that begin so say nothing of why a Blender ended: where its crash report is, what went well before."""
WORDS_MAX = 300


def crash_message(build: Build, doing: str, returncode: int | None) -> str:
    """One sentence about a Blender that is gone. PURE."""
    if returncode is None:
        how = "closed its pipes without ending"
    elif returncode < 0:
        how = f"was ended by signal {_signal_name(-returncode)}"
    else:
        how = f"ended with exit status {returncode}"
    return f"Blender {build.version} {how} during {doing!r}"


def crash_kind(returncode: int | None, said: str, *, killed_by_us: bool, oom_kills: int) -> str:
    """'memory' or 'disk' when a Blender is gone for lack of it, else 'crash'. PURE.

    `said`: what it printed during the call. `oom_kills`: processes that the kernel ended for memory meanwhile.
    """
    by_kernel = returncode == -signal.SIGKILL and not killed_by_us and oom_kills > 0
    if by_kernel or any(word in said.lower() for word in MEMORY_WORDS):
        return "memory"
    return "disk" if any(word in said.lower() for word in DISK_WORDS) else "crash"


def last_words(said: str, kind: str) -> str:
    """The last line that says something of a Blender's end; of memory or room, when it lacked that. PURE.

    `said`: what it printed, without its crash report, whose end is a heading.
    """
    lines = [line.strip() for line in said.splitlines()]
    telling = [line for line in lines if line and not line.startswith(BARE_WORDS)]
    wanted = {"memory": MEMORY_WORDS, "disk": DISK_WORDS}.get(kind, ())
    fitting = [line for line in telling if any(word in line.lower() for word in wanted)]
    return ([""] + telling + fitting)[-1][:WORDS_MAX]


def starved(said: str) -> bool:
    """True when Blender went on although it did not get memory it asked for: what it made may be wrong. PURE."""
    return any(word in said.lower() for word in NULL_WORDS)


def complaints(said: str) -> list[str]:
    """Modifiers that Blender gave up: it renders the object without them, or leaves it out. A sentence each. PURE."""
    found = [f"object {name!r}, modifier {modifier!r}: {why.strip()}" for name, modifier, why in GIVEN_UP.findall(said)]
    return list(dict.fromkeys(found))


def crash_reports(folder: Path) -> str:
    """What Blender's own crash handler left in its temporary folder."""
    texts = [path.read_text("utf-8", "replace")[-CRASH_FILE_BYTES:] for path in sorted(folder.glob("*.crash.txt"))]
    return "".join(f"\n--- Blender's crash report ---\n{text}" for text in texts)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
