"""Sets of files on disk behind one path of a scene: sequences, tiles, views, shaders with what they include."""

import os

from . import patterns

COMPILED, SOURCE = ".oso", ".osl"
ONE_BY_ONE = 16
"""So many files of a folder are looked for one by one. Then the folder is listed: Blender's window waits for this."""


class Found:
    """Files found so far, each once."""

    def __init__(self):
        self._entries = {}
        self._known = set()
        self._asked = {}
        """Folder -> how many of its files were looked for."""
        self._listed = {}
        """Folder -> names of its files."""

    def __contains__(self, path):
        return path in self._known or path in self._entries

    def know(self, path):
        """Remember that somebody cares for `path`, whether or not it ends up in the list."""
        self._known.add(path)

    def add(self, path, kind, user, needed=True):
        """Add one file; one that is not there is added only when it is needed."""
        if not path or path in self._entries:
            return
        missing = not self._is_file(path)
        if needed or not missing:
            self._entries[path] = {"path": path, "kind": kind, "missing": missing, "user": user}

    def add_all(self, paths, kind, user, needed=True):
        for path in paths:
            self.add(path, kind, user, needed)

    def _is_file(self, path):
        folder, name = os.path.split(path)
        asked = self._asked[folder] = self._asked.get(folder, 0) + 1
        if asked > ONE_BY_ONE:
            if folder not in self._listed:
                self._listed[folder] = _files(folder)
            if name in self._listed[folder]:
                return True
        # Some systems find a file by a name that they list in other letters.
        return os.path.isfile(path)

    def entries(self):
        """All of them, sorted by path."""
        return [self._entries[path] for path in sorted(self._entries)]


def _files(folder):
    """Names of the files in a folder; none when there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def matching(folder, pattern):
    """Files of a folder whose whole name matches a compiled pattern, sorted; none when there is no such folder."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(os.path.join(folder, name) for name in names if pattern.match(name))


def sequence(path):
    """Every file of the numbered sequence that `path` is one of; `path` itself when there is none."""
    folder, name = os.path.split(path)
    pattern = patterns.sequence_pattern(name)
    return (matching(folder, pattern) if pattern else []) or [path]


def tiles(path, numbers):
    """The files of the tiles `numbers`, there or not, and other tiles that lie beside them."""
    folder, name = os.path.split(path)
    pattern = patterns.tile_pattern(name)
    wanted = [os.path.join(folder, tile) for tile in patterns.tile_names(name, numbers)]
    return wanted + (matching(folder, pattern) if pattern else [])


def views(path, suffixes):
    """The files of stereo views: 'a_L.png' and 'a_R.png' for 'a.png'; a suffix already in the name is replaced."""
    base, extension = os.path.splitext(path)
    for suffix in suffixes:
        if suffix and base.endswith(suffix):
            base = base[: -len(suffix)]
            break
    return [base + suffix + extension for suffix in suffixes] or [path]


def shader(path):
    """An OSL shader, its compiled or source form beside it, and the headers it includes."""
    base, extension = os.path.splitext(path)
    other = base + (COMPILED if extension == SOURCE else SOURCE)
    found = [path] + ([other] if os.path.isfile(other) else [])
    todo = [base + SOURCE]
    while todo:
        for header in _headers(todo.pop()):
            if header not in found:
                found.append(header)
                todo.append(header)
    return found


def _headers(path):
    """Files that a shader's source includes from its own folder; those of Blender itself are elsewhere."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            names = patterns.osl_includes(file.read())
    except OSError:
        return []
    paths = [os.path.normpath(os.path.join(os.path.dirname(path), name)) for name in names]
    return [header for header in paths if os.path.isfile(header)]
