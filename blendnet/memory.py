"""How much of a machine's memory Blender may take, and what a machine has to have for it. PURE."""

from __future__ import annotations

RENDER_SHARE = 0.8
"""Of a machine's memory, what Blender may take: the rest is for its system and the agent."""
SYSTEM_BYTES = 1 << 30
"""...and at least so much is left."""
GIB = 1 << 30


def for_rendering(total_bytes: int) -> int:
    """What Blender may hold on a machine with so much memory."""
    return max(0, min(int(total_bytes * RENDER_SHARE), total_bytes - SYSTEM_BYTES))


def machine_bytes(used_bytes: int) -> float:
    """The memory of a machine on which Blender may hold so much: the other way round."""
    return max(used_bytes / RENDER_SHARE, used_bytes + SYSTEM_BYTES)


def text(size_bytes: float) -> str:
    """Memory for people, as memory is sold: '21 GiB', '1.5 GiB', '700 MiB'."""
    if size_bytes < GIB:
        return f"{size_bytes / (1 << 20):.0f} MiB"
    gib = size_bytes / GIB
    return f"{gib:.0f} GiB" if gib >= 10 or abs(gib - round(gib)) < 0.05 else f"{gib:.1f} GiB"
