"""Folders for what this Blender needs for a while. What a killed one has left is deleted by the next one."""

import os
import shutil
import tempfile

try:
    import fcntl
except ImportError:  # Windows deletes no file that is open: that is its lock.
    fcntl = None

COPY_PREFIX, PICTURE_PREFIX = "blendnet-send-", "blendnet-preview-"
"""Begin the names of the folders: of copies of scenes that are on their way, of pictures that are looked at."""
IN_USE = ".in-use"
"""A file in the folder, locked as long as the process lives that made it."""


class TemporaryFolder:
    """A new folder below the system's temporary one."""

    def __init__(self, prefix):
        """Raises OSError."""
        self.path = tempfile.mkdtemp(prefix=prefix)
        path = os.path.join(self.path, IN_USE)
        # Named so when it is locked: before, nobody looks at it.
        self._held = os.open(path + ".new", os.O_RDWR | os.O_CREAT)
        if fcntl is None:
            os.close(self._held)
            os.replace(path + ".new", path)
            self._held = os.open(path, os.O_RDWR)
        else:
            fcntl.flock(self._held, fcntl.LOCK_EX)
            os.replace(path + ".new", path)

    def remove(self):
        """Delete it with all that is in it. May be called again."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)
        shutil.rmtree(self.path, ignore_errors=True)


def sweep():
    """Delete the folders of processes that are no more. How many those were. Takes long when they are large."""
    above, count = tempfile.gettempdir(), 0
    for name in os.listdir(above):
        folder = os.path.join(above, name)
        if name.startswith((COPY_PREFIX, PICTURE_PREFIX)) and _is_left(os.path.join(folder, IN_USE)):
            shutil.rmtree(folder, ignore_errors=True)
            count += 1
    return count


def _is_left(path):
    """Whether nobody holds this file any more."""
    try:
        if fcntl is None:
            os.remove(path)
            return True
        with open(path, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False  # It is in use, somebody else's, or there is none.
