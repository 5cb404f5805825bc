"""Settings changed for a while, with the way back. Knows no bpy: any object with attributes will do."""


class Overrides:
    """Sets attributes and remembers what they were; `restore` puts everything back.

    Old values return in the order in which they were first touched: Blender offers some choices (colour depth)
    only after another (file format) is set.
    """

    def __init__(self):
        self._old = {}

    def keep(self, owner, *names):
        """Remember attributes that Blender changes by itself when another one changes."""
        for name in names:
            key = (_identity(owner), name)
            if key not in self._old and hasattr(owner, name):
                self._old[key] = (owner, getattr(owner, name))

    def put(self, owner, name, value):
        """Set an attribute if this Blender has it; an equal value is left alone, so nothing gets marked as changed.

        Returns True when the attribute exists.
        """
        if not hasattr(owner, name):
            return False
        self.keep(owner, name)
        if getattr(owner, name) != value:
            setattr(owner, name, value)
        return True

    def original(self, owner, name):
        """The value an attribute had before it was touched."""
        entry = self._old.get((_identity(owner), name))
        return getattr(owner, name) if entry is None else entry[1]

    def restore(self):
        """Put every old value back and forget them."""
        old, self._old = self._old, {}
        for (_, name), (owner, value) in old.items():
            if getattr(owner, name) != value:
                setattr(owner, name, value)


def _identity(owner):
    """Blender makes a new Python object for the same thing at every access: its address tells."""
    pointer = getattr(owner, "as_pointer", None)
    return (type(owner).__name__, pointer() if pointer else id(owner))
