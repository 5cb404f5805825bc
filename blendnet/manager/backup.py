"""Backups of the ledger: one file that says what it is, and is put back only where it fits."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from blendnet import __version__
from blendnet.errors import HashMismatch, UserError
from blendnet.manager.folder import DataFolder
from blendnet.manager.ledger.copies import copy_database, kind_of, known_revisions, replace_database
from blendnet.storage.disk import disk_errors, hash_file

FORMAT = 1
MANIFEST = "manifest.json"
CONTENT = "ledger"
"""Name of the database in the archive."""
DESCRIPTION_LIMIT_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    version: str
    """Of the BlendNet that made it."""
    database: str
    """'sqlite' or 'postgresql'."""
    revision: str
    """Of the ledger's schema."""
    created_at: float
    """Seconds since the epoch."""
    size_bytes: int
    sha256: str
    """Of the database in it."""


def save(url: str, file: Path, *, now: float) -> Manifest:
    """Write the ledger behind `url` to `file`, which appears complete or not at all; a running farm goes on meanwhile.

    Raises FarmError when there is no ledger or its database cannot be copied, DiskFull.
    """
    target = file.expanduser().absolute()
    with disk_errors(target.parent), _scratch(target.parent) as scratch:
        copy, archive = scratch / CONTENT, scratch / "archive"
        revision = copy_database(url, copy)
        digest, size = hash_file(copy)
        manifest = Manifest(
            format=FORMAT,
            version=__version__,
            database=kind_of(url),
            revision=revision,
            created_at=now,
            size_bytes=size,
            sha256=digest.hexdigest(),
        )
        with archive.open("wb") as output:
            with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as packed:
                packed.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))
                packed.write(copy, CONTENT)
            output.flush()
            os.fsync(output.fileno())
        archive.replace(target)
    return manifest


def describe(file: Path) -> Manifest:
    """What a backup says of itself. Raises UserError when it is none."""
    try:
        with zipfile.ZipFile(file) as packed, packed.open(MANIFEST) as member:
            return Manifest(**json.loads(member.read(DESCRIPTION_LIMIT_BYTES)))
    except FileNotFoundError as error:
        raise UserError(f"there is no file {file}") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{file} is no backup of a ledger, or it is damaged: {error}") from error


def restore(url: str, file: Path, folder: DataFolder) -> tuple[Manifest, Path]:
    """Put a backup in the place of the folder's ledger; what it was, and where the old ledger is kept.

    Raises:
        Conflict: a farm runs on the folder.
        UserError: the file is no backup, or one of another kind of database or of a newer BlendNet.
        HashMismatch: it is damaged.
    """
    manifest = describe(file)
    _check_fits(manifest, url, file)
    folder.create()
    with folder.owned(), disk_errors(folder.root), _scratch(folder.root) as scratch:
        content = scratch / CONTENT
        _unpack(file, content, manifest)
        aside = folder.root / f"ledger-before-restore-{time.strftime('%Y%m%d-%H%M%S')}.{manifest.database}"
        replace_database(url, content, aside)
    return manifest, aside


def _check_fits(manifest: Manifest, url: str, file: Path) -> None:
    if manifest.format != FORMAT or manifest.revision not in known_revisions():
        made_by = f"{file} was made by BlendNet {manifest.version} with schema {manifest.revision}"
        raise UserError(f"{made_by}, which this BlendNet {__version__} does not know: install a newer one")
    if manifest.database != kind_of(url):
        raise UserError(f"{file} holds a {manifest.database} ledger, but this farm's is {kind_of(url)}")


def _unpack(file: Path, target: Path, manifest: Manifest) -> None:
    try:
        with zipfile.ZipFile(file) as packed, packed.open(CONTENT) as source, target.open("xb") as output:
            shutil.copyfileobj(source, output)
            output.flush()
            os.fsync(output.fileno())
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise HashMismatch(f"the backup {file} is damaged: {error}") from error
    digest, size = hash_file(target)
    if (digest.hexdigest(), size) != (manifest.sha256, manifest.size_bytes):
        raise HashMismatch(f"the backup {file} is damaged: its ledger does not match its hash")


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A private folder on the same file system, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix=".blendnet-", dir=folder) as path:
        yield Path(path)
