"""The Manager gives fresh machines what they become agents from (`make bundle`). It is no secret: nobody logs in."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from blendnet.errors import FarmError, NotFound
from blendnet.manager.api_errors import answer
from blendnet.provision.stock import Bundle

BUNDLE_PATH = "/worker-bundle"


class WorkerBundle:
    """Answers GET of the bundle, before anybody asks for a login."""

    def __init__(self, app: ASGIApp, *, path: Path) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != BUNDLE_PATH or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
        elif self._path.is_file():
            await FileResponse(self._path, media_type="application/gzip")(scope, receive, send)
        else:
            await answer(NotFound("the bundle is not there (any more): run `make bundle`"))(scope, receive, send)


def own_bundle(path: Path, manager_url: str, *, gpu: bool = False) -> Bundle:
    """How user data name the bundle that the Manager at `manager_url` gives.

    Raises:
        FarmError: it cannot be read.
    """
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FarmError(f"no bundle for machines at {path}: {error.strerror}. Run `make bundle`") from error
    return Bundle(url=f"{manager_url.rstrip('/')}{BUNDLE_PATH}", sha256=sha256, pinned=True, gpu=gpu)
