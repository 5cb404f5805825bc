"""From files of this computer to the tree of a job: where each lies, and what the Manager is told."""

import hashlib
import os

from .errors import SceneError
from .files import hash_file

MAX_PATH_LENGTH = 1024


class Parcel:
    """The scene and all it needs, on its way to a Manager."""

    def __init__(self, scene, copy, needed):
        """`scene`: path that the scene has for its author; `copy`: the file to send in its place; `needed`: others."""
        self._scene = os.path.normpath(scene)
        others = dict.fromkeys(os.path.normpath(path) for path in needed)
        others.pop(self._scene, None)
        self._sources = dict([(self._scene, copy)], **{path: path for path in others})
        self.root = common_root(list(self._sources))
        self._hashed = []
        """(path in the tree, path on disk, sha256, size)"""

    @property
    def count(self):
        return len(self._sources)

    @property
    def total_bytes(self):
        return sum(size for _, _, _, size in self._hashed)

    def hash(self, progress, stop):
        """Read every file once; `progress(done, count)` after each. Raises MissingFiles, Stopped."""
        if len(self._hashed) == self.count:
            return
        self._hashed = []
        for done, (path, source) in enumerate(self._sources.items(), 1):
            sha256, size = hash_file(source, stop)
            self._hashed.append((tree_path(path, self.root), source, sha256, size))
            progress(done, self.count)

    def uploads(self):
        """[(path on disk, sha256, size)]"""
        return [entry[1:] for entry in self._hashed]

    def tree(self):
        """The name that docs/api.md gives to these files."""
        lines = sorted(f"{sha256} {path}\n" for path, _, sha256, _ in self._hashed)
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:32]

    def submission(self, name, settings, description):
        """The body of POST /v1/jobs."""
        return {
            "name": name[:200],
            "scene": tree_path(self._scene, self.root),
            "root": self.root,
            "files": [{"path": path, "sha256": sha256, "size_bytes": size} for path, _, sha256, size in self._hashed],
            "settings": settings,
            "description": description,
        }


def common_root(paths):
    """The deepest folder that holds every file. Raises SceneError when there is none (drives of Windows)."""
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:
        raise SceneError("the scene's files are on several drives: bring them to one, or pack them") from None


def tree_path(path, root):
    """Where a file lies in the job's tree. Raises SceneError for a name that no tree can hold."""
    relative = os.path.relpath(path, root).replace(os.sep, "/")
    wrong = "\\" in relative or any(ord(letter) < 32 for letter in relative) or len(relative) > MAX_PATH_LENGTH
    if wrong or relative.startswith("../"):
        raise SceneError(f"cannot send {path!r}: rename it without backslashes and control characters")
    return relative
