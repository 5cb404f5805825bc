"""Google's operations: waiting for their end, and what went wrong in them.

`op.result()` of the library is not used: it asks by a hidden client that ignores the endpoint that was set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from blendnet.provision.gcp.sdk import Google, Refused, word
from blendnet.provision.gcp.shortage import Trouble, telling

PAUSE_S = 0.2
"""Between two questions when Google answers at once that it has not ended."""


class Operations:
    """Waits for operations of one account. Thread-safe."""

    def __init__(self, google: Google, clock: Callable[[], float] = time.monotonic) -> None:
        self._google = google
        self._clock = clock

    def ended(self, operation: Any, zone: str = "", *, wait_s: float) -> Any:
        """The operation when it has ended, well or not; `zone`: '' for one of the whole project.

        Raises:
            Refused: it has not within `wait_s`, and may still do its work; or Google does not say.
        """
        until = self._clock() + wait_s
        while not _done(operation):
            if self._clock() >= until:
                raise Refused(f"Google Cloud has not ended {operation.name} within {wait_s:g} s", answered=False)
            operation = self._later(operation, zone)
        return operation

    def check(self, operation: Any, what: str, *, wait_s: float, zone: str = "") -> None:
        """Wait for an operation that has to `what`; `zone`: '' for one of the whole project.

        Raises:
            Refused: it failed, or has not ended within `wait_s`.
        """
        if found := troubles(self.ended(operation, zone, wait_s=wait_s)):
            trouble = telling(found)
            raise Refused(f"Google Cloud did not {what}: {trouble.message}", code=trouble.code, status=trouble.status)

    def _later(self, operation: Any, zone: str) -> Any:
        """The operation after a while: Google answers when it has ended, or after two minutes."""
        scope = {"zone": zone} if zone else {}
        noun = "ZoneOperations" if zone else "GlobalOperations"
        later = self._google.ask(noun, "wait", "say how far it is", operation=operation.name, **scope)
        if not _done(later):
            time.sleep(PAUSE_S)
        return later


def troubles(operation: Any) -> Sequence[Trouble]:
    """What went wrong in an operation; empty: nothing. PURE."""
    status = int(operation.http_error_status_code or 0)
    found = [Trouble(str(error.code), str(error.message), status) for error in operation.error.errors]
    if not found and status >= 400:
        found = [Trouble("", str(operation.http_error_message), status)]
    return found


def _done(operation: Any) -> bool:
    return word(operation.status) == "DONE"
