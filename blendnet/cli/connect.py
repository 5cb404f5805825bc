"""From a command's options to a client of the right Manager."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blendnet.cli.cloud_farm import CloudFarm
from blendnet.cli.farm_process import wait_for_farm
from blendnet.client import Connection, ManagerClient
from blendnet.errors import Conflict, ManagerUnreachable, NotFound, UserError
from blendnet.manager.folder import DataFolder, FarmFile
from blendnet.messages import JobView
from blendnet.settings import get_settings


def connection_of(farm: FarmFile) -> Connection:
    """How to reach the farm on this machine."""
    settings = get_settings()
    timeouts = settings.connect_timeout_s, settings.read_timeout_s
    return Connection(farm.url, Path(farm.ca), farm.user, Path(farm.password_file), *timeouts)


def find_connection(folder: DataFolder) -> Connection:
    """The Manager of BLENDNET_MANAGER_URL, else the folder's in a cloud, else the farm that runs on the folder.

    Raises:
        Conflict: no farm runs there, or the Manager in the cloud has not said where it is.
        UserError: BLENDNET_MANAGER_URL is set without the login.
    """
    settings = get_settings()
    if settings.manager_url:
        if not settings.manager_user or settings.manager_password_file is None:
            raise UserError("BLENDNET_MANAGER_URL needs BLENDNET_MANAGER_USER and BLENDNET_MANAGER_PASSWORD_FILE, too")
        return Connection(
            settings.manager_url,
            settings.manager_ca,
            settings.manager_user,
            settings.manager_password_file,
            settings.connect_timeout_s,
            settings.read_timeout_s,
        )
    cloud = CloudFarm(folder)
    if (note := cloud.read()) is not None:
        return cloud.connection(note, settings)
    return connection_of(running_farm(folder))


def running_farm(folder: DataFolder) -> FarmFile:
    """The farm on the folder, waiting for one that just starts. Raises Conflict when none runs there."""
    farm = folder.running()
    if farm is None and folder.is_owned():
        return wait_for_farm(folder)
    if farm is None:
        raise Conflict(f"no farm runs on {folder.root}: start one with `blendnet up`, or name its folder with --data")
    return farm


@contextmanager
def manager(folder: DataFolder) -> Iterator[ManagerClient]:
    """A client of the Manager that the options name. Where it is away, the error says what to do about it."""
    connection = find_connection(folder)
    try:
        with ManagerClient(connection) as client:
            yield client
    except ManagerUnreachable as error:
        if connection.password_file != CloudFarm(folder).password_file:
            raise
        raise ManagerUnreachable(
            f"{error}. It is in a cloud and may have stopped, or have another address: `blendnet cloud status` looks, "
            "`blendnet cloud start` starts it"
        ) from error


def find_job(client: ManagerClient, words: str) -> JobView:
    """The job with this id, or whose id alone begins so, or the newest with this name.

    Raises:
        NotFound: no job fits.
        UserError: several ids begin so.
    """
    jobs = client.jobs()
    fitting = [job for job in jobs if job.id == words] or [job for job in jobs if job.id.startswith(words)]
    if not fitting:
        fitting = sorted((job for job in jobs if job.name == words), key=lambda job: job.created_at)[-1:]
    if not fitting:
        raise NotFound(f"no job {words!r}: see `blendnet job list`")
    if len(fitting) > 1:
        ids = ", ".join(job.id for job in fitting[:5])
        raise UserError(f"{words!r} fits {len(fitting)} jobs: {ids}. Give more of the id")
    return fitting[0]
