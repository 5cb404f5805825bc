"""The Manager's service account on Google Cloud, with a role of its own that holds the least it needs.

IAM and Resource Manager by their REST API: https://cloud.google.com/iam/docs/reference/rest.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from blendnet.provision.gcp.permissions import MANAGER_PERMISSIONS, SIGNING_ROLE
from blendnet.provision.gcp.sdk import Google, Refused

TRIES = 6
PAUSE_S = 2.0
"""A new service account is known everywhere only after seconds, and others may change a policy at the same time."""
NOT_FOUND, CONFLICT = 404, 409

Bindings = list[dict[str, Any]]
"""Of a policy: roles with those who have them."""


class Identity:
    """Makes and removes it."""

    def __init__(self, google: Google, sleep: Callable[[float], None] = time.sleep) -> None:
        self._google = google
        self._sleep = sleep

    @property
    def email(self) -> str:
        """The service account's address."""
        return f"{account_id(self._google.account.farm)}@{self._google.project}.iam.gserviceaccount.com"

    @property
    def member(self) -> str:
        """How policies call it."""
        return f"serviceAccount:{self.email}"

    def ensure(self) -> str:
        """Make the service account and its role, or set them right; its address. Raises Refused."""
        farm = self._google.account.farm
        body = {"accountId": account_id(farm), "serviceAccount": {"displayName": f"Manager of BlendNet farm {farm}"}}
        self._unless(CONFLICT, "POST", f"{self._project}/serviceAccounts", "make the Manager's identity", body)
        self._ensure_role()
        own = {"role": self._role, "members": [self.member], "condition": own_machines(farm)}
        self._change_policy(self._whole, lambda bindings: _with(bindings, own))
        signing = {"role": SIGNING_ROLE, "members": [self.member]}
        self._change_policy(
            self._itself, lambda bindings: [*bindings, signing] if signing not in bindings else bindings
        )
        return self.email

    def remains(self) -> list[str]:
        """What is there. Raises Refused."""
        account = self._unless(NOT_FOUND, "GET", f"{self._project}/serviceAccounts/{self.email}", "show an identity")
        role = self._unless(NOT_FOUND, "GET", f"/v1/{self._role}", "show a role")
        found = [f"service account {self.email}"] if account else []
        return found + ([f"role {self._role}"] if role and not role.get("deleted") else [])

    def remove(self) -> None:
        """Remove the service account, its role, and its place in the project's policy. Raises Refused."""
        self._change_policy(self._whole, lambda bindings: _without(bindings, self._role))
        what = "remove the Manager's identity"
        self._unless(NOT_FOUND, "DELETE", f"{self._project}/serviceAccounts/{self.email}", what)
        role = self._unless(NOT_FOUND, "GET", f"/v1/{self._role}", "show a role")
        if role and not role.get("deleted"):
            self._unless(NOT_FOUND, "DELETE", f"/v1/{self._role}", "remove the Manager's role")

    @property
    def _project(self) -> str:
        return f"/v1/projects/{self._google.project}"

    @property
    def _role(self) -> str:
        return f"projects/{self._google.project}/roles/{role_id(self._google.account.farm)}"

    def _ensure_role(self) -> None:
        """Google keeps the name of a role that was removed: it is taken back, and set right, then."""
        role = {
            "title": f"Manager of BlendNet farm {self._google.account.farm}",
            "includedPermissions": list(MANAGER_PERMISSIONS),
            "stage": "GA",
        }
        what = "make the Manager's role"
        known = self._unless(NOT_FOUND, "GET", f"/v1/{self._role}", "show a role")
        if not known:
            body = {"roleId": role_id(self._google.account.farm), "role": role}
            self._google.rest("POST", "iam", f"{self._project}/roles", what, body)
            return
        if known.get("deleted"):
            self._google.rest("POST", "iam", f"/v1/{self._role}:undelete", what, {})
        self._google.rest("PATCH", "iam", f"/v1/{self._role}", what, role)

    @property
    def _whole(self) -> tuple[str, str]:
        """Service and path of the project's policy."""
        return "cloudresourcemanager", self._project

    @property
    def _itself(self) -> tuple[str, str]:
        """Service and path of the service account's own policy: who may act for it."""
        return "iam", f"{self._project}/serviceAccounts/{self.email}"

    def _change_policy(self, whose: tuple[str, str], change: Callable[[Bindings], Bindings]) -> None:
        for left in reversed(range(TRIES)):
            try:
                return self._change_policy_once(*whose, change)
            except Refused as error:
                # 409: somebody else changed it meanwhile. The others: the new service account is not known there yet.
                if not left or error.http_status not in (400, NOT_FOUND, CONFLICT):
                    raise
                self._sleep(PAUSE_S)

    def _change_policy_once(self, service: str, path: str, change: Callable[[Bindings], Bindings]) -> None:
        """Read, change and write a policy; its etag makes Google refuse when somebody wrote in between."""
        version = {"options": {"requestedPolicyVersion": 3}}
        query, asked = ("", version) if service != "iam" else ("?options.requestedPolicyVersion=3", {})
        answer = self._google.rest("POST", service, f"{path}:getIamPolicy{query}", "show who may do what", asked)
        policy = answer.json()
        bindings = policy.get("bindings", [])
        changed = change(bindings)
        if changed != bindings:
            # Google takes conditions in the third version alone.
            least = 3 if any("condition" in one for one in changed) else 1
            body = {"policy": {**policy, "version": max(least, policy.get("version", 1)), "bindings": changed}}
            self._google.rest("POST", service, f"{path}:setIamPolicy", "let the Manager do its work", body)

    def _unless(self, status: int, verb: str, path: str, what: str, body: dict[str, Any] | None = None) -> Any:
        """The answer; None when Google refuses with `status`."""
        try:
            return self._google.rest(verb, "iam", path, what, body).json()
        except Refused as error:
            if error.http_status != status:
                raise
            return None


def account_id(farm: str) -> str:
    """Name of the service account of a farm: at most 30 letters. PURE."""
    return f"bn-{farm[:18].rstrip('-')}-{_short(farm)}"


def role_id(farm: str) -> str:
    """Name of the role of a farm: no '-'. PURE."""
    return f"blendnet_{farm.replace('-', '_')}_{_short(farm)}"


def _short(farm: str) -> str:
    return hashlib.sha256(farm.encode()).hexdigest()[:6]


def own_machines(farm: str) -> dict[str, str]:
    """The condition on the Manager's role: of machines and disks, those that are named as its agents' are. PURE.

    What is asked of the project as a whole, as lists are, is no machine and no disk. extract() gives what follows.
    """
    own = [
        f'(resource.type != "compute.googleapis.com/{kind}"'
        f' || resource.name.extract("/{kind.lower()}s/{{name}}").startsWith("bn-{farm}--"))'
        for kind in ("Instance", "Disk")
    ]
    return {
        "title": f"agents of BlendNet farm {farm}",
        "description": "Machines and disks of this farm's agents alone; anything else that its role names.",
        "expression": " && ".join(own),
    }


def _with(bindings: Bindings, binding: dict[str, Any]) -> Bindings:
    """The role is the farm's own: whoever had it, on whatever condition, has it no more."""
    return bindings if binding in bindings else [*_without(bindings, binding["role"]), binding]


def _without(bindings: Bindings, role: str) -> Bindings:
    """The role is the farm's own: nobody else has it."""
    return [one for one in bindings if one["role"] != role]
