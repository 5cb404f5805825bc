"""IAM and the project's policy, for tests/provision/fake_gce.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.provision.fake_gce import PROJECT, Answer, FakeGce
from tests.provision.fake_gce_iam import held
from tests.provision.fake_gce_routes import on

IDENTITY = rf"/v1/projects/{PROJECT}"
Query = Mapping[str, str]


@on("POST", IDENTITY + ":testIamPermissions")
def _test(fake: FakeGce, query: Query, body: Any) -> Any:
    may = lambda one: one not in fake.denied and (not fake.acting_as or held(fake, one))  # noqa: E731
    return {"permissions": [one for one in body["permissions"] if may(one)]}


@on("POST", IDENTITY + ":getIamPolicy")
def _policy(fake: FakeGce, query: Query, body: Any) -> Any:
    return fake.policy


@on("POST", IDENTITY + ":setIamPolicy")
def _set_policy(fake: FakeGce, query: Query, body: Any) -> Any:
    if body["policy"].get("etag") != fake.policy["etag"]:
        raise Answer(409, "aborted", "There were concurrent policy changes.")
    for binding in body["policy"]["bindings"]:
        for member in binding["members"]:
            kind, _, email = member.partition(":")
            if kind == "serviceAccount" and email not in fake.service_accounts:
                raise Answer(400, "badRequest", f"Service account {email} does not exist.")
    fake.policy = {**body["policy"], "etag": f"e{int(fake.policy['etag'][1:]) + 1}"}
    return fake.policy


@on("POST", IDENTITY + "/serviceAccounts")
def _new_account(fake: FakeGce, query: Query, body: Any) -> Any:
    email = f"{body['accountId']}@{PROJECT}.iam.gserviceaccount.com"
    if not 6 <= len(body["accountId"]) <= 30:
        raise Answer(400, "badRequest", "accountId has a bad length")
    if email in fake.service_accounts:
        raise Answer(409, "alreadyExists", f"Service account {body['accountId']} already exists")
    fake.service_accounts[email] = {"email": email, **body["serviceAccount"]}
    return fake.service_accounts[email]


@on("GET", IDENTITY + "/serviceAccounts/(?P<email>[^/:]+)")
def _account(fake: FakeGce, query: Query, body: Any, email: str) -> Any:
    return find(fake.service_accounts, email)


@on("POST", IDENTITY + "/serviceAccounts/(?P<email>[^/:]+):getIamPolicy")
def _own_policy(fake: FakeGce, query: Query, body: Any, email: str) -> Any:
    return find(fake.service_accounts, email).get("policy", {"version": 1, "etag": "a"})


@on("POST", IDENTITY + "/serviceAccounts/(?P<email>[^/:]+):setIamPolicy")
def _set_own_policy(fake: FakeGce, query: Query, body: Any, email: str) -> Any:
    find(fake.service_accounts, email)["policy"] = {**body["policy"], "etag": "b"}
    return body["policy"]


@on("DELETE", IDENTITY + "/serviceAccounts/(?P<email>[^/:]+)")
def _drop_account(fake: FakeGce, query: Query, body: Any, email: str) -> Any:
    find(fake.service_accounts, email)
    del fake.service_accounts[email]
    return {}


@on("POST", IDENTITY + "/roles")
def _new_role(fake: FakeGce, query: Query, body: Any) -> Any:
    if body["roleId"] in fake.roles:
        raise Answer(409, "alreadyExists", f"A role named {body['roleId']} already exists.")
    fake.roles[body["roleId"]] = body["role"]
    return body["role"]


@on("GET", IDENTITY + "/roles/(?P<role>[^/:]+)")
def _role(fake: FakeGce, query: Query, body: Any, role: str) -> Any:
    return find(fake.roles, role)


@on("PATCH", IDENTITY + "/roles/(?P<role>[^/:]+)")
def _change_role(fake: FakeGce, query: Query, body: Any, role: str) -> Any:
    if find(fake.roles, role).get("deleted"):
        raise Answer(400, "failedPrecondition", f"role {role} is deleted")
    fake.roles[role] = body
    return body


@on("DELETE", IDENTITY + "/roles/(?P<role>[^/:]+)")
def _drop_role(fake: FakeGce, query: Query, body: Any, role: str) -> Any:
    """A role is kept for a week after it was deleted."""
    find(fake.roles, role)["deleted"] = True
    return fake.roles[role]


@on("POST", IDENTITY + "/roles/(?P<role>[^/:]+):undelete")
def _take_back(fake: FakeGce, query: Query, body: Any, role: str) -> Any:
    find(fake.roles, role).pop("deleted", None)
    return fake.roles[role]


def find(things: Mapping[str, Any], name: str) -> Any:
    if name not in things:
        raise Answer(404, "notFound", f"{name} was not found")
    return things[name]
