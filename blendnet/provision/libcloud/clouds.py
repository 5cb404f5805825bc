"""The clouds that apache-libcloud reaches: how each is opened, what it is asked for, and what it cannot do."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.base import Features, Quota
from blendnet.provision.libcloud.azure import azure_features, azure_order, azure_remove, open_azure_driver
from blendnet.provision.libcloud.order import Order
from blendnet.provision.libcloud.quotas import azure_quotas, digitalocean_quotas, openstack_quotas
from blendnet.settings import cloud_variable

HOURS_OF_A_MONTH = 672.0
"""By which Vultr divides a month's price: what its hours cost at most."""

NO_SPOT = {"spot": "it sells no machines that it may take back: all are on demand"}
NO_LIFETIME = {"lifetime": "it ends no machine by itself: the agent's timer powers it off, and the Manager deletes it"}
BILLED_OFF = {"power off": "a machine that is powered off costs like one that runs: only deleting it ends the bill"}
NO_QUOTA = {"quotas": "apache-libcloud does not ask for them: what is too much is refused when it is asked for"}
NO_INTERRUPT = {"interrupt": "none of its calls announces to a machine that it is taken back"}
NO_NETWORK = {
    "network": "firewalls, networks and buckets are yours to make: apache-libcloud has no words for them that all "
    "these clouds understand"
}
NO_LOG = {"boot log": "it shows none by its API"}


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """One cloud behind apache-libcloud."""

    name: str
    provider: str
    """Its constant in libcloud.compute.types.Provider."""
    credentials: Mapping[str, tuple[str, ...]]
    """What it wants to know -> the environment variables that say it, as the cloud's own tools read them."""
    features: Features
    image: str = ""
    """Id of Debian 12; '': options have to name one."""
    open: Callable[[type, Mapping[str, str], str, Mapping[str, str]], Any]
    """(driver class, credentials, region, options) -> driver."""
    order: Callable[[Any, Order], Any]
    """(driver, order) -> node."""
    remove: Callable[[Any, Any], Any] = lambda driver, node: driver.destroy_node(node)
    sizes: Callable[[Any, str], Any] = lambda driver, region: driver.list_sizes()
    usd: Callable[[Any], float] = lambda size: float(size.price or 0.0)
    """Price of an hour; 0.0 stands for unknown."""
    nodes: Callable[[Any], Any] = lambda driver: driver.list_nodes()
    quotas: Callable[[Any, str], list[Quota]] | None = None
    """(driver, region) -> what the account may have; None: the cloud does not say."""
    boot_log: Callable[[Any, Any], str] | None = None

    def secrets(self) -> dict[str, str]:
        """The credentials that the environment holds.

        Raises:
            FarmError: one is missing; the text names its variable.
        """
        found = {key: cloud_variable(*names) for key, names in self.credentials.items()}
        if missing := [names[0] for key, names in self.credentials.items() if not found[key]]:
            raise FarmError(f"no credentials for {self.name}: set {', '.join(missing)}")
        return found


def size_vcpus(size: Any) -> int:
    """Processors of a size: each driver has its own word for them. 0: it does not say. PURE."""
    extra = size.extra or {}
    words = ("vcpus", "vcpu_count", "numberOfCores", "cores", "cpu_count")
    return int(next((extra[key] for key in words if extra.get(key)), 0) or getattr(size, "vcpus", 0) or 0)


def vultr_usd(size: Any) -> float:
    """libcloud calls Vultr's price of a month `price`. PURE."""
    return float(size.price or 0.0) / HOURS_OF_A_MONTH


def _thing(kind: str, id_: str, driver: Any) -> Any:
    """A size, image or place by its id, without asking for the list of all of them."""
    from libcloud.compute.base import NodeImage, NodeLocation, NodeSize

    if kind == "size":
        return NodeSize(id_, id_, 0, 0, 0, 0.0, driver)
    return NodeImage(id_, id_, driver) if kind == "image" else NodeLocation(id_, id_, "", driver)


def _parts(driver: Any, order: Order) -> dict[str, Any]:
    things = {"size": order.size, "image": order.image, "location": order.zone}
    return {"name": order.machine_name, **{kind: _thing(kind, id_, driver) for kind, id_ in things.items()}}


def _digitalocean(driver: Any, order: Order) -> Any:
    return driver.create_node(
        **_parts(driver, order), ex_user_data=order.user_data, ex_create_attr={"tags": [f"blendnet:{order.farm}"]}
    )


def _vultr(driver: Any, order: Order) -> Any:
    return driver.create_node(**_parts(driver, order), ex_userdata=order.user_data, ex_tag=f"blendnet-{order.farm}")


def _linode(driver: Any, order: Order) -> Any:
    """It wants a password for root; nobody gets to know it."""
    return driver.create_node(
        **_parts(driver, order),
        root_pass=secrets.token_urlsafe(32),
        ex_userdata=order.user_data,
        ex_tags=[f"blendnet-{order.farm}"],
    )


def _openstack(driver: Any, order: Order) -> Any:
    parts = {key: value for key, value in _parts(driver, order).items() if key != "location"}
    zone = {"ex_availability_zone": order.zone} if order.zone else {}
    return driver.create_node(**parts, **zone, ex_userdata=order.user_data, ex_metadata={"blendnet-farm": order.farm})


def _openstack_sizes(driver: Any, region: str) -> Any:
    """libcloud would read its list of prices, 2 MB, for every single flavor to find that none is in there."""
    from libcloud.pricing import set_pricing

    set_pricing("compute", driver.api_name, {})
    return driver.list_sizes()


def _scaleway(driver: Any, order: Order) -> Any:
    """The driver knows no user data and switches the machine on at once: it is stored just before that."""
    size = next((one for one in driver.list_sizes() if one.id == order.size), None)
    if size is None:
        raise FarmError(f"scaleway has no machine type {order.size!r}")
    image = _thing("image", order.image, driver)
    switch_on = driver._action

    def store_first(server: str, action: str, region: Any = None) -> Any:
        if action == "poweron" and order.user_data:
            _store_user_data(driver, server, order.user_data)
        return switch_on(server, action, region)

    driver._action = store_first
    try:
        return driver.create_node(order.machine_name, size, image, ex_tags=[f"blendnet-{order.farm}"])
    finally:
        del driver._action


def _store_user_data(driver: Any, server: str, user_data: str) -> None:
    """PATCH /servers/{id}/user_data/cloud-init takes text/plain; the driver says application/json to everything."""
    connection = driver.connection
    usual = connection.add_default_headers
    connection.add_default_headers = lambda headers: {**usual(headers), "Content-Type": "text/plain"}
    try:
        connection.request(f"/servers/{server}/user_data/cloud-init", data=user_data, method="PATCH")
    finally:
        del connection.add_default_headers


def _console(driver: Any, node: Any) -> str:
    return str(driver.ex_get_console_output(node, length=500).get("output", ""))


def _token(kind: type, known: Mapping[str, str], region: str, options: Mapping[str, str]) -> Any:
    return kind(known["token"])


def _open_openstack(kind: type, known: Mapping[str, str], region: str, options: Mapping[str, str]) -> Any:
    return kind(
        known["user"], known["password"], ex_force_auth_url=known["url"], ex_force_auth_version="3.x_password",
        ex_tenant_name=known["project"], ex_domain_name=cloud_variable("OS_USER_DOMAIN_NAME") or "Default",
        ex_force_service_region=region or None,
    )  # fmt: skip


def _features(*cannot: Mapping[str, str], boot_log: bool = False) -> Features:
    words = {
        key: text for part in (NO_SPOT, NO_LIFETIME, NO_INTERRUPT, NO_NETWORK, *cannot) for key, text in part.items()
    }
    return Features(boot_log=boot_log, cannot=words)


EUROS = {"prices": "it sells in euros, and BlendNet counts US dollars: set a price of your own"}
OLD_HOST = {"zones": "apache-libcloud speaks to the old host of par1 alone, which may be gone"}
UNPRICED = {"prices": "every OpenStack has its own, and none tells it: set a price of your own"}
AZURE_SECRETS = {
    "tenant": ("AZURE_TENANT_ID",),
    "subscription": ("AZURE_SUBSCRIPTION_ID",),
    "client": ("AZURE_CLIENT_ID",),
    "secret": ("AZURE_CLIENT_SECRET",),
}
OPENSTACK_SECRETS = {
    "url": ("OS_AUTH_URL",),
    "user": ("OS_USERNAME",),
    "password": ("OS_PASSWORD",),
    "project": ("OS_PROJECT_NAME", "OS_TENANT_NAME"),
}

CLOUDS: Mapping[str, Cloud] = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            name="azure", provider="azure_arm", credentials=AZURE_SECRETS,
            features=azure_features(NO_LIFETIME, NO_INTERRUPT, NO_NETWORK, NO_LOG),
            image="Debian:debian-12:12-gen2:latest", open=open_azure_driver, order=azure_order, remove=azure_remove,
            sizes=lambda driver, region: driver.list_sizes(location=_thing("location", region, driver)),
            nodes=lambda driver: driver.list_nodes(ex_fetch_nic=False), usd=lambda size: 0.0,
            quotas=azure_quotas,
        ),
        Cloud(
            name="digitalocean", provider="digitalocean", image="debian-12-x64", open=_token, order=_digitalocean,
            credentials={"token": ("DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_TOKEN")},
            features=_features(BILLED_OFF, NO_LOG), quotas=digitalocean_quotas,
        ),
        Cloud(
            name="linode", provider="linode", image="linode/debian12", open=_token, order=_linode,
            credentials={"token": ("LINODE_TOKEN", "LINODE_CLI_TOKEN")},
            features=_features(NO_QUOTA, BILLED_OFF, NO_LOG),
        ),
        Cloud(
            name="openstack", provider="openstack", credentials=OPENSTACK_SECRETS,
            open=_open_openstack, order=_openstack, sizes=_openstack_sizes,
            features=_features(BILLED_OFF, UNPRICED, boot_log=True), usd=lambda size: 0.0, boot_log=_console,
            quotas=openstack_quotas,
        ),
        Cloud(
            name="scaleway", provider="scaleway", order=_scaleway,
            features=_features(NO_QUOTA, EUROS, OLD_HOST, NO_LOG),
            credentials={"key": ("SCW_DEFAULT_ORGANIZATION_ID",), "token": ("SCW_SECRET_KEY",)},
            usd=lambda size: 0.0,
            open=lambda kind, known, region, options: kind(known["key"], known["token"]),
        ),
        Cloud(
            name="vultr", provider="vultr", image="2136", open=_token, order=_vultr, usd=vultr_usd,
            credentials={"token": ("VULTR_API_KEY",)}, features=_features(NO_QUOTA, BILLED_OFF, NO_LOG),
            sizes=lambda driver, region: driver.list_sizes(ex_list_bare_metals=False),
            nodes=lambda driver: driver.list_nodes(ex_list_bare_metals=False),
        ),
    )
}  # fmt: skip
