"""Every error the add-on shows, grouped by what helps. The text states the fact and the next step."""


class AddonError(Exception):
    """Root: one sentence for the artist."""

    code = "error"
    """Stable word: decides which button the panel offers."""


class NotConnected(AddonError):
    """No Manager is set up, or its farm is down."""

    code = "not_connected"


class Offline(AddonError):
    """Blender's preferences forbid use of the internet."""

    code = "offline"


class Unreachable(AddonError):
    """The Manager does not answer: try again later."""

    code = "unreachable"


class Untrusted(AddonError):
    """Who answers cannot show the certificate that was confirmed."""

    code = "untrusted"


class WrongLogin(AddonError):
    """User or password is wrong."""

    code = "wrong_login"


class Refused(AddonError):
    """The Manager says no."""

    code = "refused"

    def __init__(self, message, code="refused", status=0, details=None):
        super().__init__(message)
        self.code = code
        self.status = status
        self.details = details or {}


class SceneError(AddonError):
    """The scene cannot be sent as it is."""

    code = "scene"


class MissingFiles(SceneError):
    """Files of the scene are not there."""

    code = "missing_files"

    def __init__(self, message, paths=()):
        super().__init__(message)
        self.paths = list(paths)


class DiskError(AddonError):
    """A file of this computer cannot be read or written."""

    code = "disk"


class SetUpError(AddonError):
    """The `blendnet` command is missing or fails."""

    code = "set_up"


class KeyringError(AddonError):
    """The system's keyring does not do it: the file is used instead."""

    code = "keyring"


class Stopped(AddonError):
    """The artist ended it."""

    code = "stopped"
