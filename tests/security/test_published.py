"""What a Manager says of itself in its bucket: read back as written, and refused when it cannot be a Manager's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blendnet.errors import FarmError
from blendnet.security.ca import ensure_server_certificate
from blendnet.security.published import Published, publication, read_published


@pytest.fixture
def pem(tmp_path: Path) -> bytes:
    return ensure_server_certificate(tmp_path / "security").ca.read_bytes()


@pytest.fixture
def said(pem: bytes) -> Published:
    return publication("https://203.0.113.7:443", pem, version="1.0", time=1000.5)


def test_what_was_said_is_read_back(said: Published) -> None:
    assert read_published(said.to_json()) == said
    assert len(said.fingerprint) == 64


def test_a_later_version_may_say_more(said: Published) -> None:
    assert read_published(json.dumps({**json.loads(said.to_json()), "more": 1}).encode()) == said


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://203.0.113.7"},
        {"url": "https://"},
        {"url": "https://user:word@203.0.113.7"},
        {"url": "https://203.0.113.7/elsewhere"},
        {"url": 7},
        {"ca_pem": "no"},
        {"ca_pem": None},
        {"fingerprint": "0" * 64},
        {"time": "now"},
        {"ended": 1},
    ],
)
def test_what_no_manager_says_is_refused(said: Published, change: dict[str, Any]) -> None:
    with pytest.raises(FarmError, match="not what a Manager writes"):
        read_published(json.dumps({**json.loads(said.to_json()), **change}).encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b" " * 100_000])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(FarmError):
        read_published(data)


def test_a_second_authority_cannot_hide_behind_the_first(said: Published, tmp_path: Path) -> None:
    other = ensure_server_certificate(tmp_path / "other").ca.read_text()
    with pytest.raises(FarmError, match="not one certificate"):
        read_published(json.dumps({**json.loads(said.to_json()), "ca_pem": said.ca_pem + other}).encode())


def test_words_around_the_certificate_are_left_out(said: Published) -> None:
    wordy = {**json.loads(said.to_json()), "ca_pem": f"words\n{said.ca_pem}words"}
    assert read_published(json.dumps(wordy).encode()) == said
