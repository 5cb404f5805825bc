"""What all messages share: the frozen base class, blobs, paths that stay in a job's tree, errors."""

from __future__ import annotations

import posixpath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SHA256_PATTERN = r"^[0-9a-f]{64}$"
MAX_PATH_LENGTH = 1024


def check_tree_path(path: str) -> str:
    """Return `path` if it stays in a job's tree, on Windows too: relative, POSIX, normalised. Raises ValueError."""
    if not path or len(path) > MAX_PATH_LENGTH or "\\" in path or any(ord(c) < 32 for c in path):
        raise ValueError(f"not a usable path: {path[:80]!r}")
    outside = path.startswith("/") or path[1:2] == ":" or path.split("/")[0] in ("..", ".")
    if outside or posixpath.normpath(path) != path:
        raise ValueError(f"path leaves the job's tree or is not normalised: {path!r}")
    return path


Text = Annotated[str, AfterValidator(lambda text: text.replace("\0", "\ufffd"))]  # No database column holds NUL.
TreePath = Annotated[str, AfterValidator(check_tree_path)]
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]


class Message(BaseModel):
    """Frozen, refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Blob(Message):
    """A file by content."""

    sha256: Sha256
    size_bytes: int = Field(ge=0, lt=1 << 60)


class MissingBlob(Message):
    """A blob that the Manager's store lacks; its upload goes on at `received_bytes`."""

    sha256: Sha256
    received_bytes: int = Field(ge=0)


class FileEntry(Blob):
    """A file of a job's tree."""

    path: TreePath


class ErrorBody(Message):
    """Body of every answer with a status of 400 and above."""

    code: str
    message: str
    details: dict[str, Any] = {}
