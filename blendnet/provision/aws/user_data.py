"""User data of a machine: the agent's cloud-init, behind a timer that ends the machine. PURE.

EC2 has no limit on how long a machine lives. Its launch template says instead that a machine which powers itself off is
terminated, and the first part of the user data starts a timer that powers it off.
"""

from __future__ import annotations

import math
import re
from email import message_from_string

from blendnet.errors import FarmError
from blendnet.provision.cloud_init import LIMIT_BYTES

_BOUNDARY = "=-=-blendnet-=-="

_TIMER = """#cloud-boothook
#!/bin/sh
# This machine ends after its lifetime, whatever becomes of its agent and its Manager.
systemd-run --no-block --unit=blendnet-lifetime --on-active={lifetime_s}s systemctl poweroff || \\
  shutdown -P +{lifetime_min}
"""


def wrap(text: str, lifetime_s: float) -> str:
    """User data that starts the timer and then does what `text` (cloud-config, script or '') says.

    Raises:
        FarmError: it is longer than EC2 takes.
    """
    parts = [("text/cloud-boothook", timer(lifetime_s)), *([("text/plain", text)] if text else [])]
    lines = [f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"', "MIME-Version: 1.0", ""]
    for kind, content in parts:
        lines += [f"--{_BOUNDARY}", f'Content-Type: {kind}; charset="utf-8"', "", content]
    wrapped = "\n".join([*lines, f"--{_BOUNDARY}--", ""])
    check(wrapped, "the agent's cloud-init")
    return wrapped


def check(text: str, what: str) -> None:
    """Raises FarmError when user data is longer than EC2 takes, before base64; `what` has to become shorter then."""
    if (size := len(text.encode())) > LIMIT_BYTES:
        raise FarmError(f"the user data has {size} bytes, EC2 takes {LIMIT_BYTES}: shorten {what}")


def timer(lifetime_s: float) -> str:
    """Boot hook that powers the machine off after `lifetime_s`."""
    return _TIMER.format(lifetime_s=math.ceil(lifetime_s), lifetime_min=math.ceil(lifetime_s / 60))


def unwrap(wrapped: str) -> tuple[str, float]:
    """What `wrap` was given: the text (less newlines at its end) and the lifetime in seconds."""
    parts = [str(part.get_payload()) for part in message_from_string(wrapped).walk() if not part.is_multipart()]
    lifetime = re.search(r"--on-active=(\d+)s", parts[0])
    assert lifetime
    return (parts[1].rstrip("\n") if len(parts) > 1 else ""), float(lifetime[1])
