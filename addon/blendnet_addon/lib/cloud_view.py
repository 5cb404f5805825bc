"""What the add-on has seen of a cloud and of the farm there, for the panels. No bpy, no calls."""

PREPARE = "`blendnet cloud prepare`"
"""So a check names what it misses that Create makes."""


class CloudView:
    """Changed on the main thread alone."""

    def __init__(self):
        self.form_open = False
        """The set-up panel shows the form."""
        self.note = None
        """What the data folder says of a farm in a cloud; None: nothing."""
        self.begun = None
        """Names of what a broken-off creation left in the cloud; None: nobody looked."""
        self.status = None
        """The last answer of `blendnet cloud status`."""
        self.leave()

    def leave(self):
        """Another place is meant: what was seen of the last one says nothing."""
        self.checks = None
        """Of the account; None: not asked yet."""
        self.types = []
        """Machine types with their prices."""
        self.types_of = None
        """The Place whose types they are."""

    def types_at(self, place):
        """The types of a place; [] when they were not asked for."""
        return self.types if self.types_of == place else []

    def problems(self):
        """Checks that are not ok, the worst first."""
        order = {"problem": 0, "warning": 1}
        found = [check for check in self.checks or () if check["state"] in order and not _comes(check)]
        return sorted(found, key=lambda check: order[check["state"]])

    def fine(self):
        """How many checks are ok, or will be as soon as the farm is made."""
        return sum(check["state"] == "ok" or _comes(check) for check in self.checks or ())

    def ready(self):
        """Whether the account was checked, and nothing stands in the way."""
        return self.checks is not None and all(check["state"] != "problem" for check in self.checks)

    def lacks_sdk(self):
        """Whether what is missing is the cloud's own library."""
        return any(check["name"] == "sdk" and check["state"] == "problem" for check in self.checks or ())

    def state(self, answers):
        """The Manager in a word; `answers`: the add-on has just heard of it."""
        if answers:
            return "running"
        return self.status["machine"]["state"] if self.status else "unknown"


def _comes(check):
    return check["state"] == "warning" and PREPARE in check["message"]
