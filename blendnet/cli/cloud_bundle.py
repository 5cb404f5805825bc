"""The bundle from which the Manager's machine is made: the one that is named, else one packed from this checkout."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import blendnet
from blendnet.cli import output
from blendnet.errors import FarmError, UserError

PACK_LIMIT_S = 600.0
WARNING = "bundle: "
"""So begin lines of bundle.sh for people."""


def bundle_for(target: Path, named: Path | None) -> tuple[Path, str]:
    """The file and its SHA-256; it is packed into `target` when none is named.

    Raises:
        UserError: it cannot be read, or none is named and this BlendNet is no checkout.
        FarmError: it cannot be packed.
    """
    path = named or _packed(target)
    try:
        return path, hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read the bundle {path}: {error.strerror}. `make bundle` makes one") from error


def _packed(target: Path) -> Path:
    project = Path(blendnet.__file__).resolve().parents[1]
    script = project / "worker_image" / "bundle.sh"
    if not script.is_file() or not (project / ".git").exists():
        raise UserError(
            "from what is the Manager's machine to be made? `make bundle` in a checkout of BlendNet packs it: name the "
            "file with --bundle or BLENDNET_WORKER_BUNDLE"
        )
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with output.waiting("Packing this BlendNet for the machine"):
        try:
            done = subprocess.run(
                ["bash", str(script), str(target)],
                env={**os.environ, "PYTHON": sys.executable},
                capture_output=True,
                text=True,
                check=False,
                timeout=PACK_LIMIT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FarmError(f"cannot pack this BlendNet: {error}") from error
    if done.returncode:
        raise FarmError(f"cannot pack this BlendNet ({script}): {done.stderr.strip()[-500:]}")
    for line in done.stderr.splitlines():
        if line.startswith(WARNING):
            output.say(line)
    return target
