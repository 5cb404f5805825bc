"""Settings that the owner's machine sends to a Manager in the cloud, and that such a Manager takes when it starts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from blendnet.errors import UserError
from blendnet.settings import Settings, get_settings

MAX_BYTES = 64 << 10
_BEGINNINGS = ("fleet_", "cap_", "egress_", "manager_", "estimate_", "job_keep_s", "store_limit_bytes",
               "agent_certificate_s", "disk_", "cloud_options")  # fmt: skip
_OWN = ("fleet_provider", "manager_cloud", "manager_bucket", "manager_url", "manager_ca", "manager_user",
        "manager_password_file", "manager_certificate", "manager_key")  # fmt: skip
"""Of those the ones that are about one machine, or follow from the place."""
PREFIX = "BLENDNET_"


def is_sent(name: str) -> bool:
    """True for a setting that goes from the owner's machine to the Manager."""
    return name in Settings.model_fields and name.startswith(_BEGINNINGS) and name not in _OWN


def sent(values: Mapping[str, object]) -> dict[str, str]:
    """BLENDNET_... of settings by name; those that are None stay away. PURE."""
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in sorted(values.items()) if value is not None}


def to_json(variables: Mapping[str, str]) -> bytes:
    """What lies in the bucket."""
    return json.dumps(dict(sorted(variables.items())), indent=1).encode()


def from_json(data: bytes, *, left_aside: Callable[[str], object] = lambda name: None) -> dict[str, str]:
    """BLENDNET_... as they lie in the bucket; those that are not sent, as a newer BlendNet may have, are left aside.

    Raises UserError: it is not what `to_json` makes, or a value is wrong.
    """
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("they are too long")
        said = json.loads(data)
        names = {name: name.removeprefix(PREFIX).lower() for name in said}
        found = {name: value for name, value in said.items() if name.startswith(PREFIX) and is_sent(names[name])}
        for name in said.keys() - found.keys():
            left_aside(name)
        if not all(isinstance(value, str) for value in found.values()):
            raise ValueError("a value is no text")
        Settings(**{names[name]: value for name, value in found.items()})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"setting {PREFIX}{str(first['loc'][0]).upper()} cannot be so: {first['msg']}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(
            "what lies in the bucket are no settings of a Manager (remove manager/settings.json there, and say again "
            f"what is to hold with `blendnet cloud up`): {error}"
        ) from error
    return found


def take(variables: Mapping[str, str]) -> Settings:
    """Have these hold in this process, and in those that it starts, over what the environment says."""
    os.environ.update(variables)
    get_settings.cache_clear()
    return get_settings()
