"""The `blendnet` command as a wheel, made from the files alone: the same bytes every time, no network, no build step.

The add-on brings it along, with the locked requirements, for computers that have no `blendnet` yet.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import io
import zipfile
from pathlib import Path

from blendnet import __version__

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "blendnet"
NAME = f"blendnet-{__version__}-py3-none-any.whl"
ENDINGS = (".py", ".json", ".mako")
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
FILE_MODE = 0o100644 << 16


def make() -> bytes:
    """The wheel's content. Its dependencies are those of requirements.lock, so it names none."""
    files = {
        path.relative_to(ROOT).as_posix(): path.read_bytes() for path in PACKAGE.rglob("*") if path.suffix in ENDINGS
    }
    info = f"blendnet-{__version__}.dist-info"
    for name, text in _about().items():
        files[f"{info}/{name}"] = text.encode()
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in sorted(files.items()))
    return zipped({**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()})


def _about() -> dict[str, str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    scripts = setup["options.entry_points"]["console_scripts"].strip()
    python = setup["options"]["python_requires"]
    return {
        "METADATA": f"Metadata-Version: 2.1\nName: blendnet\nVersion: {__version__}\nRequires-Python: {python}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: blendnet\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": f"[console_scripts]\n{scripts}\n",
    }


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode("ascii").rstrip("=")


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip with these files, sorted, all of the same age."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name, FIXED_TIME)
            info.external_attr, info.compress_type, info.create_system = FILE_MODE, zipfile.ZIP_DEFLATED, 3
            archive.writestr(info, data, compresslevel=9)
    return buffer.getvalue()
