"""The files behind what an artist looks at: previews, and finished pictures that are not at home yet."""

import os

from .downloads import download
from .errors import DiskError, Stopped
from .fetching import home_copy
from .files import remove
from .temporary import PICTURE_PREFIX, TemporaryFolder

KEPT = 3
"""Finished pictures kept for going to and fro."""


class PictureFiles:
    """A temporary folder of this session. One worker alone writes here; `clear` is for its end."""

    def __init__(self, notes, frame_name):
        """`notes`: of jobs that were sent from here; `frame_name(template, frame)` puts the number in."""
        self._notes = notes
        self._frame_name = frame_name
        self._folder = None
        self._number = 0
        self._finished = []
        self._closed = False

    def preview(self, data):
        """Write a preview; its path. Two files take turns: Blender may still read the one before."""
        self._number = 1 - self._number
        path = os.path.join(self._place(), f"preview-{self._number}.exr")
        try:
            with open(path, "wb") as file:
                file.write(data)
        except OSError as error:
            raise DiskError(f"cannot write {path} ({error.strerror}): make room") from error
        return path

    def finished(self, manager, job_id, result, stop):
        """The path of a result: where it came home to, else fetched for now. Raises as downloads.download."""
        home = home_copy(self._notes.read(job_id), result, self._frame_name)
        if home is not None:
            return home
        path = os.path.join(self._place(), result["sha256"] + os.path.splitext(result["path"])[1])
        if not os.path.exists(path):
            download(manager, result["sha256"], path, stop)
        self._finished = [other for other in self._finished if other != path] + [path]
        while len(self._finished) > KEPT:
            remove(self._finished.pop(0))
        return path

    def clear(self):
        """Delete everything; nothing is written any more."""
        self._closed = True
        if self._folder is not None:
            self._folder.remove()

    def _place(self):
        if self._closed:
            raise Stopped("stopped")
        if self._folder is not None and not os.path.isdir(self._folder.path):
            self._folder.remove()  # Somebody has tidied up.
            self._folder = None
        if self._folder is None:
            self._folder, self._finished = TemporaryFolder(PICTURE_PREFIX), []
        return self._folder.path
