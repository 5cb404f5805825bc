"""Tables of agents: what each tells of its memory, and nothing for one that does not."""

from __future__ import annotations

import pytest

from blendnet.cli.farm import memory_text, print_agents
from blendnet.messages import AgentView

GIB = 1 << 30


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({}, ""),
        ({"memory_bytes": 16 * GIB}, "16 GiB"),
        ({"memory_bytes": 64 * GIB, "gpu_memory_bytes": 24 * GIB}, "64 GiB + 24 GiB GPU"),
    ],
    ids=["does not tell", "memory", "memory and GPU"],
)
def test_memory_of_an_agent_is_told_in_few_words(told: dict[str, int], text: str) -> None:
    assert memory_text(AgentView(name="agent-1", state="idle", **told)) == text


def test_table_of_agents_has_their_memory(capsys: pytest.CaptureFixture[str]) -> None:
    print_agents([AgentView(name="old", state="idle"), AgentView(name="new", state="idle", memory_bytes=8 * GIB)])
    header, old, new = capsys.readouterr().out.splitlines()
    assert "MEMORY" in header
    assert "8 GiB" in new
    assert "GiB" not in old
