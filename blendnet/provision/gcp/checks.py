"""What `cloud doctor` looks at on Google Cloud."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime

from blendnet.errors import BlendNetError, UserError
from blendnet.provision.base import Check, CheckState, Quota
from blendnet.provision.gcp.manager_making import MACHINE
from blendnet.provision.gcp.permissions import MANAGER_PERMISSIONS, OWNER_PERMISSIONS
from blendnet.provision.gcp.prices import Prices
from blendnet.provision.gcp.quotas import quota_page
from blendnet.provision.gcp.request import image_path, network_path
from blendnet.provision.gcp.sdk import LOGIN, Google, Refused
from blendnet.provision.gcp.stock import Stock

OK, WARNING, PROBLEM = CheckState.OK, CheckState.WARNING, CheckState.PROBLEM
DISABLED = ("accessNotConfigured", "SERVICE_DISABLED")
CLOCK_WARNING_S, CLOCK_PROBLEM_S = 30.0, 240.0
"""Google refuses who is five minutes off; certificates of agents mind less."""
FEW_VCPUS = 8.0
SHOWN = ("spot vCPU", "vCPU", "vCPU in all regions", "addresses", "SSD disks")
"""Quotas that farms meet first: the Manager's machine is on demand, and all disks are made of SSDs."""
BIND = "gcloud projects add-iam-policy-binding {project} --member=user:YOU --role={role}"


class Checks:
    """Looks, changes nothing."""

    def __init__(self, google: Google, stock: Stock, prices: Prices, clock: Callable[[], float] = time.time) -> None:
        self._google = google
        self._stock = stock
        self._prices = prices
        self._clock = clock
        self._unreachable = ""

    def all(self) -> Sequence[Check]:
        """Every line. Without a project that answers, nothing else can be looked at. Never raises."""
        first = [self._safely("credentials", self._credentials, LOGIN)]
        if first[-1].state is not PROBLEM:
            project = self._safely("project", self._project, "gcloud projects list")
            first += [self._reachability(), *([project] if not self._unreachable else [])]
        if any(check.state is PROBLEM for check in first):
            return first
        id_ = self._google.project
        rest: list[tuple[str, Callable[[], Check], str]] = [
            (
                "permissions",
                self._permissions,
                f"gcloud services enable cloudresourcemanager.googleapis.com --project {id_}",
            ),
            ("machine types", self._machine_types, f"gcloud compute zones list --project {id_}"),
            ("image", self._image, "gcloud compute images list"),
            ("network", self._network, f"gcloud compute networks list --project {id_}"),
            ("prices", self._price, f"gcloud services enable cloudbilling.googleapis.com --project {id_}"),
            ("clock", self._clock_check, "sudo timedatectl set-ntp true"),
        ]
        return [*first, *(self._safely(*one) for one in rest), *self._quotas()]

    def _safely(self, name: str, look: Callable[[], Check], help_: str) -> Check:
        try:
            return look()
        except (BlendNetError, ValueError, TypeError, KeyError, AttributeError) as error:
            return Check(name, PROBLEM, str(error) or repr(error), help_)

    def _credentials(self) -> Check:
        credentials = self._google.credentials
        who = getattr(credentials, "service_account_email", "") or type(credentials).__name__
        return Check("credentials", OK, f"found: {who}")

    def _project(self) -> Check:
        """Also tells whether the Compute Engine API is switched on."""
        project = self._google.project
        try:
            found = self._google.ask("Projects", "get", f"show project {project}")
        except Refused as error:
            self._unreachable = str(error) if error.reason == "unreachable" else ""
            return Check("project", PROBLEM, str(error), self._project_help(error))
        return Check("project", OK, f"{found.name}, Compute Engine API is on")

    def _reachability(self) -> Check:
        """As asking for the project has shown: any answer will do."""
        address = self._google.account.endpoint or "https://compute.googleapis.com"
        if self._unreachable:
            return Check("reachability", PROBLEM, self._unreachable, f"curl -I {address}")
        return Check("reachability", OK, f"{address} answers")

    def _project_help(self, error: Refused) -> str:
        project = self._google.project
        if error.reason in DISABLED or "has not been used" in str(error):
            return f"gcloud services enable compute.googleapis.com --project {project}"
        if error.http_status == 401:
            return LOGIN
        if error.http_status == 403:
            return f"gcloud projects get-iam-policy {project}"
        return "gcloud projects list" if error.http_status == 404 else "curl -I https://compute.googleapis.com"

    def _permissions(self) -> Check:
        project = self._google.project
        asked = [*MANAGER_PERMISSIONS, *OWNER_PERMISSIONS]
        path = f"/v1/projects/{project}:testIamPermissions"
        answer = self._google.rest("POST", "cloudresourcemanager", path, "test permissions", {"permissions": asked})
        held = set(answer.json().get("permissions", []))
        if lacking := [one for one in MANAGER_PERMISSIONS if one not in held]:
            bind = BIND.format(project=project, role="roles/compute.instanceAdmin.v1")
            return Check("permissions", PROBLEM, f"agents cannot be run: missing {', '.join(lacking)}", bind)
        if lacking := [one for one in OWNER_PERMISSIONS if one not in held]:
            # Editors may not say who may do what, and no smaller role of Google's holds all of it.
            bind = BIND.format(project=project, role="roles/owner")
            message = f"agents can be run, a Manager cannot be made, started or removed: missing {', '.join(lacking)}"
            return Check("permissions", WARNING, message, bind)
        return Check("permissions", OK, f"all {len(asked)} that are needed")

    def _machine_types(self) -> Check:
        machines = self._stock.machines
        found = f"{len(machines)} in {', '.join(self._stock.zones)}"
        if MACHINE not in machines:
            message = f"{found}, but no {MACHINE} for the Manager"
            return Check("machine types", WARNING, message, "blendnet cloud up --provider gcp --machine TYPE")
        return Check("machine types", OK, found)

    def _image(self) -> Check:
        account = self._google.account
        names = [self._found(image) for image in dict.fromkeys((account.image, account.manager_image))]
        return Check("image", OK, " and ".join(names))

    def _found(self, image: str) -> str:
        """Name of the image that is there."""
        project, name = _split(image_path(image), "images")
        call, key = ("get_from_family", "family") if name.startswith("family/") else ("get", "image")
        where = {"project": project} if project else {}
        found = self._google.ask("Images", call, f"show image {image}", **where, **{key: name.rpartition("/")[2]})
        return str(found.name)

    def _network(self) -> Check:
        account = self._google.account
        project, name = _split(network_path(account.network), "networks")
        where = {"project": project} if project else {}
        found = self._google.ask("Networks", "get", f"show network {name}", network=name, **where)
        if not account.subnet and not found.auto_create_subnetworks:
            message = f"{name} makes no subnetworks by itself: which one of {account.region}? Name it as option subnet"
            help_ = f"gcloud compute networks subnets list --network {name} --regions {account.region}"
            return Check("network", PROBLEM, message, help_)
        return Check("network", OK, found.name)

    def _price(self) -> Check:
        catalog = self._prices.catalog()
        if not catalog:
            help_ = f"gcloud services enable cloudbilling.googleapis.com --project {self._google.project}"
            message = f"the list in apache-libcloud is used, prices on demand of another year: {self._prices.trouble}"
            return Check("prices", WARNING, message, help_)
        hours = (self._clock() - catalog.at) / 3600.0
        return Check("prices", OK, f"{len(catalog.rates)} rates, {hours:.1f} h old")

    def _clock_check(self) -> Check:
        path = f"/compute/v1/projects/{self._google.project}"
        answer = self._google.rest("GET", "compute", path, "tell its time")
        off_s = abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - self._clock())
        state = OK if off_s < CLOCK_WARNING_S else WARNING if off_s < CLOCK_PROBLEM_S else PROBLEM
        return Check(
            "clock", state, f"{off_s:.0f} s off Google's", "" if state is OK else "sudo timedatectl set-ntp true"
        )

    def _quotas(self) -> Sequence[Check]:
        page = quota_page(self._google.project)
        try:
            quotas = self._stock.quotas()
        except BlendNetError as error:
            return [Check("quota", WARNING, str(error), page)]
        return [_quota_check(one, page) for one in quotas if one.name in SHOWN]


def _split(path: str, kind: str) -> tuple[str, str]:
    """'projects/P/global/networks/N' -> ('P', 'N'); the project is '' where none is named. PURE.

    Raises:
        UserError: it names no such thing.
    """
    found = re.fullmatch(rf"(?:(?:.*/)?projects/([^/]+)/)?global/{kind}/((?:family/)?[^/]+)", path)
    if not found:
        raise UserError(f"{path!r} names none of {kind}: one as in projects/PROJECT/global/{kind}/NAME")
    return found[1] or "", found[2]


def _quota_check(quota: Quota, page: str) -> Check:
    """An unknown quota warns and never blocks. PURE."""
    name = f"quota: {quota.name}"
    if quota.limit is None:
        return Check(name, WARNING, "nobody knows", page)
    left = quota.limit - (quota.used or 0.0)
    message = f"{left:g} of {quota.limit:g} {quota.unit} free"
    if left <= 0:
        return Check(name, PROBLEM, message, page)
    few = quota.unit == "vCPU" and left < FEW_VCPUS
    return Check(name, WARNING if few else OK, message, page if few else "")
