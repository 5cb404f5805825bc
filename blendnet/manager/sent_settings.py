"""What the owner of a Manager in a cloud has said after its machine was made: it lies in the farm's bucket."""

from __future__ import annotations

import logging
from contextlib import closing

from blendnet.errors import NotFound, UserError
from blendnet.provision.manager_machine import SETTINGS
from blendnet.settings import Settings
from blendnet.settings.sent import MAX_BYTES, from_json, take
from blendnet.storage.stores import open_bucket

log = logging.getLogger(__name__)


def with_sent(settings: Settings) -> Settings:
    """The settings, with those of the bucket over them; also in the environment of the processes that are started.

    Raises:
        StoreUnreachable, StoreRefused: the bucket does not say. A Manager that does not know its caps must not begin.
    """
    if not settings.manager_bucket:
        return settings
    bucket = open_bucket(settings.manager_bucket)
    try:
        with closing(bucket.stream(SETTINGS)) as body:
            data = body.read(MAX_BYTES + 1)
    except NotFound:
        return settings
    try:
        taken = from_json(data, left_aside=lambda name: log.warning("%s is not one that is sent: left aside", name))
    except UserError as error:
        log.warning("the Manager goes on with the settings that its machine was made with: %s", error)
        return settings
    log.info("the farm's bucket says how to work: %s", ", ".join(taken) or "nothing")
    return take(taken)
