"""The policies in policies/*.json: what a person who sets a farm up may do, and what its Manager may."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from blendnet.errors import UserError
from blendnet.provision.aws.labels import Labels

NAMES = ("setup", "manager")


def text(name: str, *, own: Labels, account: str, bucket: str) -> str:
    """A policy for one farm in one account, as JSON. Raises UserError for a policy that there is not."""
    if name not in NAMES:
        raise UserError(f"there is no policy {name!r}: one of {', '.join(NAMES)}")
    raw = resources.files(__package__).joinpath("policies", f"{name}.json").read_text("utf-8")
    values = {"FARM": own.farm, "REGION": own.region, "ACCOUNT": account, "BUCKET": bucket, "MANAGER": own.role}
    for key, value in values.items():
        raw = raw.replace(f"<{key}>", value)
    return json.dumps(json.loads(raw))  # Without the spaces, which count against IAM's limit.


def actions(document: str) -> list[str]:
    """All actions that a policy permits. PURE."""
    statements: list[dict[str, Any]] = json.loads(document)["Statement"]
    return sorted({action for s in statements if s["Effect"] == "Allow" for action in s["Action"]})
