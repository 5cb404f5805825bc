"""User data of a machine of EC2."""

from __future__ import annotations

import subprocess
from email import message_from_string

import pytest

from blendnet.errors import FarmError
from blendnet.provision.aws.user_data import timer, unwrap, wrap
from blendnet.provision.cloud_init import LIMIT_BYTES


@pytest.mark.parametrize(
    "text", ["#cloud-config\nruncmd:\n- echo ä", "#!/bin/sh\necho", ""], ids=["config", "sh", "none"]
)
def test_what_is_wrapped_comes_out_as_it_was(text: str) -> None:
    assert unwrap(wrap(text, 90.5)) == (text, 91.0)


def test_cloud_init_gets_the_timer_first_and_tells_the_kind_of_the_rest_by_itself() -> None:
    message = message_from_string(wrap("#cloud-config\n{}", 60.0))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed", "text/cloud-boothook", "text/plain"
    ]  # fmt: skip


def test_the_timer_is_a_script_and_rounds_up() -> None:
    script = timer(61.2)
    subprocess.run(["sh", "-n"], input=script.encode(), check=True)
    assert "--on-active=62s systemctl poweroff" in script
    assert "shutdown -P +2" in script


def test_what_ec2_would_not_take_is_an_error() -> None:
    room = LIMIT_BYTES - len(wrap("", 1.0).encode()) - 200
    wrap("#" * room, 1.0)
    with pytest.raises(FarmError, match=f"EC2 takes {LIMIT_BYTES}"):
        wrap("#" * LIMIT_BYTES, 1.0)
