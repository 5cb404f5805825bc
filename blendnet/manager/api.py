"""The Manager's HTTPS API, put together: login and limits around the endpoints of the api_* modules."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from fastapi import FastAPI

from blendnet import __version__
from blendnet.manager import (
    api_agents,
    api_blobs,
    api_costs,
    api_docs,
    api_errors,
    api_farm,
    api_fleet,
    api_jobs,
    api_join,
)
from blendnet.manager.api_hot import HotCalls
from blendnet.manager.api_login import HEALTH_PATH, Login
from blendnet.manager.api_parts import FleetControl, Parts
from blendnet.manager.attendance import Attendance, Attended
from blendnet.manager.jobs import Farm
from blendnet.manager.joining import Joining
from blendnet.manager.limits import Limits, SecurityHeaders, Unread
from blendnet.manager.previews import PreviewFolder
from blendnet.manager.worker_bundle import WorkerBundle
from blendnet.messages import ErrorBody
from blendnet.security.credentials import Users
from blendnet.settings import Settings
from blendnet.storage.base import BlobStore

PREVIEWS_FOLDER = "previews"
"""In the data folder."""


def make_api(
    farm: Farm,
    store: BlobStore,
    users: Users,
    settings: Settings,
    fleet: FleetControl,
    *,
    broker_url: str = "",
    queued: Callable[[], Collection[str]] | None = None,
    joining: Joining | None = None,
    attendance: Attendance | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """The API of one farm. Everything but GET /health wants a login; only POST, PUT and DELETE change anything.

    `joining`: where other machines may become agents. `attendance`: where owners' requests are noted.
    """
    api = FastAPI(
        title="BlendNet Manager",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": {"model": ErrorBody, "description": "Refused"}},
    )
    previews = PreviewFolder(settings.data / PREVIEWS_FOLDER)
    parts = api.state.parts = Parts(farm, store, fleet, settings, previews, clock, broker_url, queued, joining)
    api_errors.install(api)
    for router in (
        api_farm.router,
        api_fleet.router,
        api_jobs.router,
        api_costs.router,
        api_blobs.owner,
        api_blobs.everybody,
        api_blobs.agents,
        api_agents.router,
        api_join.everybody,
        api_join.joiner,
        api_join.agent,
        api_join.owner,
        api_docs.router,
    ):
        api.include_router(router)
    api.add_api_route(HEALTH_PATH, health, methods=["GET"], tags=["farm"])
    api.add_middleware(HotCalls, parts=parts)
    api.add_middleware(Limits, max_json_bytes=settings.max_json_bytes, idle_timeout_s=settings.request_idle_timeout_s)
    if attendance is not None:
        api.add_middleware(Attended, attendance=attendance)
    api.add_middleware(Login, users=users, joining=joining, clock=clock)
    api.add_middleware(Unread)
    if settings.worker_bundle is not None:
        api.add_middleware(WorkerBundle, path=settings.worker_bundle)
    api.add_middleware(SecurityHeaders)  # The last one added is the outermost.
    return api


async def health() -> dict[str, str]:
    """Alive. The only call that needs no login, and it says nothing else."""
    return {"status": "ok"}
