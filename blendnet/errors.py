"""Every error BlendNet raises, grouped by what the caller can do about it. Nothing else lives here."""

from __future__ import annotations

from typing import Any


class BlendNetError(Exception):
    """Root of all BlendNet errors: the text states the fact, the thing it is about and the next step."""

    code = "error"
    """Stable word for programs: sent in API answers as `error.code`."""
    status = 500
    """HTTP status that the API answers with when this error reaches it."""

    @property
    def details(self) -> dict[str, Any]:
        """Facts for programs, JSON-compatible: sent in API answers as `error.details`."""
        return {}


class UserError(BlendNetError):
    """The request cannot be fulfilled as it stands: change the input and try again."""

    code = "bad_request"
    status = 422


class SceneError(UserError):
    """The scene cannot be rendered: not a .blend, truncated, no camera, wrong engine."""

    code = "scene"


class MissingFiles(SceneError):
    """Files that the scene needs are not there."""

    code = "missing_files"

    def __init__(self, message: str, paths: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.paths = paths

    @property
    def details(self) -> dict[str, Any]:
        return {"paths": list(self.paths)}


class MergeError(UserError):
    """Segments do not fit together: gap, overlap, other size, channels or Blender version."""

    code = "merge"


class TooLarge(UserError):
    """A body, file or list exceeds a limit that the text names."""

    code = "too_large"
    status = 413


class NotFound(BlendNetError):
    """The thing named does not exist (any more)."""

    code = "not_found"
    status = 404


class NotAllowed(BlendNetError):
    """The role may not do this, or nobody is logged in."""

    code = "not_allowed"
    status = 403


class NoLogin(NotAllowed):
    """Missing or wrong user and password."""

    code = "no_login"
    status = 401


class TokenRefused(NoLogin):
    """A token to join with is unknown, used, expired or another agent's."""

    code = "join_token"


class Revoked(NotAllowed):
    """The farm does not work with this agent any more: it has to join again, with a new token."""

    code = "revoked"


class Conflict(BlendNetError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"
    status = 409


class CapReached(Conflict):
    """A cap of the day or the farm has no room for sending this file: raise it, or wait for the next day."""

    code = "cap_reached"
    status = 402

    def __init__(
        self, message: str, *, cap: str = "", file_usd: float | None = None, enough_usd: float | None = None
    ) -> None:
        super().__init__(message)
        self.cap = cap
        """'day' or 'farm'."""
        self.file_usd = file_usd
        """What the file takes."""
        self.enough_usd = enough_usd
        """A cap that should do."""

    @property
    def details(self) -> dict[str, Any]:
        return {"cap": self.cap, "file_usd": self.file_usd, "enough_usd": self.enough_usd}


class LeaseLost(Conflict):
    """The fencing token is old: somebody else owns the work now. Stop at once."""

    code = "lease_lost"


class NotYours(LeaseLost):
    """The work belongs to another agent than the one that calls."""

    code = "not_yours"
    status = 403


class TransitionError(Conflict):
    """A state change that the transition tables of models.py do not allow."""

    code = "transition"


class WrongOffset(Conflict):
    """An upload does not continue where the stored part ends: go on at `received_bytes`."""

    code = "wrong_offset"

    def __init__(self, message: str, received_bytes: int) -> None:
        super().__init__(message)
        self.received_bytes = received_bytes

    @property
    def details(self) -> dict[str, Any]:
        return {"received_bytes": self.received_bytes}


class HashMismatch(UserError):
    """Bytes do not hash to the SHA-256 they were announced under."""

    code = "hash_mismatch"


class Retryable(BlendNetError):
    """Nothing is wrong with the request: the same call may succeed later."""

    code = "retry"
    status = 503


class ManagerUnreachable(Retryable):
    """The Manager did not answer: no connection, a cut connection or a timeout."""

    code = "manager_unreachable"


class NoticeUnknown(Retryable):
    """Whether this machine is to go cannot be told: its cloud's metadata service does not answer as documented."""

    code = "notice_unknown"


class TooSlow(Retryable):
    """The other side sent or took nothing for too long while it owed something."""

    code = "too_slow"
    status = 408


class DiskFull(Retryable):
    """No space left on the device that the text names."""

    code = "disk_full"
    status = 507


class ManagerFull(DiskFull):
    """No space left on the Manager's disk: whoever has something for it keeps it and tries again."""

    code = "manager_full"


class StoreUnreachable(Retryable):
    """The bucket that holds the blobs does not answer: whoever has something for it keeps it and tries again."""

    code = "store_unreachable"


class StoreRefused(ManagerFull):
    """The bucket takes or gives nothing until somebody mends it: missing, not allowed, wrong region, full."""

    code = "store_refused"


class BlenderError(BlendNetError):
    """Blender answered a command with an error, or could not answer."""

    code = "blender"

    def __init__(self, message: str, *, kind: str = "blender", log: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        """A word of in_blender/trouble.py, or one of crash.py or 'timeout' of the subclasses."""
        self.log = log
        """Blender's last output, '' when it does not matter."""


class BlenderCrashed(BlenderError):
    """The Blender process ended without an answer; the text holds its exit status and last output."""

    code = "blender_crashed"

    def __init__(self, message: str, *, kind: str = "crash", log: str = "") -> None:
        super().__init__(message, kind=kind, log=log)


class BlenderTimeout(BlenderError):
    """Blender did not answer in time and was ended."""

    code = "blender_timeout"

    def __init__(self, message: str, *, kind: str = "timeout", log: str = "") -> None:
        super().__init__(message, kind=kind, log=log)


class BlenderMissing(BlendNetError):
    """No such Blender build on this machine, or it cannot start; the text names the command that mends it."""

    code = "blender_missing"
    status = 422


class BlenderUnfetched(BlenderMissing):
    """It could not be fetched this time, as the network or its source failed; another try may do."""

    code = "blender_unfetched"


class FarmError(BlendNetError):
    """A process of the farm (Redis, API, agent) could not be started or stopped."""

    code = "farm"
