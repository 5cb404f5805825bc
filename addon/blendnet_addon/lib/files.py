"""Files of this computer: hashed in pieces, written whole or not at all."""

import hashlib
import json
import os
import secrets

from .errors import DiskError, MissingFiles, Stopped

PIECE_BYTES = 1 << 20


def hash_file(path, stop=None):
    """(SHA-256, bytes) of a file. Raises MissingFiles when it cannot be read, Stopped."""
    digest, size = hashlib.sha256(), 0
    try:
        with open(path, "rb", buffering=0) as file:
            while True:
                check(stop)
                data = file.read(PIECE_BYTES)
                if not data:
                    return digest.hexdigest(), size
                digest.update(data)
                size += len(data)
    except OSError as error:
        raise MissingFiles(f"cannot read {path} ({error.strerror}): bring it back, or take it out", [path]) from error


def check(stop):
    """Raise Stopped when the event `stop` is set."""
    if stop is not None and stop.is_set():
        raise Stopped("stopped")


def write_private(path, text):
    """Write a small file for this user alone, all at once. Raises DiskError."""
    temporary = f"{path}.{secrets.token_hex(4)}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        raise DiskError(f"cannot write {path} ({error.strerror}): make room or give it another place") from error


def read_json(path):
    """The JSON in a file; None when there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def remove(path):
    """Delete a file that may be gone already."""
    try:
        os.remove(path)
    except FileNotFoundError:
        pass


def write_json(path, value):
    """Write a small JSON file for this user alone. Raises DiskError."""
    write_private(path, json.dumps(value, indent=1, sort_keys=True))
