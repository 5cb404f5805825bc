"""Azure by apache-libcloud: Spot machines and cloud-init, which its driver cannot ask for, put into its request.

The driver's own `ex_customdata` fails on Python 3, with text and with bytes. So the PUT of the machine is changed on
its way.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from blendnet.errors import UserError
from blendnet.provision.base import Features
from blendnet.provision.libcloud.order import Order

NOTICE_S = 30.0
MACHINE = "/virtualMachines/"
NO_LIMIT = -1
"""Of billingProfile.maxPrice: up to the price on demand."""


def azure_features(*cannot: Mapping[str, str]) -> Features:
    """What Azure can do this way."""
    words = {key: text for part in cannot for key, text in part.items()}
    words["power off"] = "a machine that shuts itself down is billed on until it is deallocated or deleted"
    return Features(spot=True, notice="azure", notice_s=NOTICE_S, cannot=words)


def open_azure_driver(kind: type, known: Mapping[str, str], region: str, options: Mapping[str, str]) -> Any:
    """A driver for one region."""
    return kind(known["tenant"], known["subscription"], known["client"], known["secret"], region=region)


def azure_order(driver: Any, order: Order) -> Any:
    """Make a machine with its network interface; what a failure leaves of the latter is removed.

    Raises:
        UserError: the options do not say where.
    """
    from libcloud.compute.base import NodeAuthPassword, NodeLocation, NodeSize

    group, network = order.options.get("resource-group", ""), order.options.get("network", "")
    if not group or not network:
        raise UserError("provider azure needs the options resource-group and network")
    # Azure wants a password or a key; nobody gets to know this one. SSH is for the network's security group to shut.
    auth = NodeAuthPassword(f"{secrets.token_urlsafe(32)}aA1!")
    with amended(driver.connection, order):
        try:
            return driver.create_node(
                order.machine_name, NodeSize(order.size, order.size, 0, 0, 0, 0.0, driver), _image(driver, order), auth,
                group, location=NodeLocation(order.zone, order.zone, "", driver), ex_network=network,
                ex_subnet=order.options.get("subnet") or "default", ex_use_managed_disks=True, ex_os_disk_delete=True,
                ex_tags={"blendnet-farm": order.farm},
            )  # fmt: skip
        except Exception:
            _remove_interface(driver, group, order.machine_name)
            raise


def azure_remove(driver: Any, node: Any) -> Any:
    """Delete a machine; Azure deletes its disk and interface with it, as the order said. Waits for nothing."""
    return driver.destroy_node(node, ex_destroy_nic=False, ex_destroy_vhd=False, ex_destroy_os_disk=False)


@contextmanager
def amended(connection: Any, order: Order) -> Iterator[None]:
    """Meanwhile each PUT of a machine over `connection` says what the driver cannot."""
    usual = connection.request

    def request(action: str, *args: Any, **more: Any) -> Any:
        if more.get("method") == "PUT" and MACHINE in action:
            more["data"] = amend(more["data"], order)
        return usual(action, *args, **more)

    connection.request = request
    try:
        yield
    finally:
        del connection.request


def amend(body: Mapping[str, Any], order: Order) -> dict[str, Any]:
    """The body of the PUT of a machine with Spot, cloud-init, and everything deleted together. PURE."""
    properties = dict(body["properties"])
    if order.spot:
        properties |= {"priority": "Spot", "evictionPolicy": "Delete", "billingProfile": {"maxPrice": NO_LIMIT}}
    if order.user_data:
        coded = base64.b64encode(order.user_data.encode()).decode("ascii")
        properties["osProfile"] = {**properties["osProfile"], "customData": coded}
    interfaces = [
        {**one, "properties": {**one.get("properties", {}), "deleteOption": "Delete", "primary": True}}
        for one in properties["networkProfile"]["networkInterfaces"]
    ]
    return {**body, "properties": {**properties, "networkProfile": {"networkInterfaces": interfaces}}}


def _image(driver: Any, order: Order) -> Any:
    from libcloud.compute.drivers.azure_arm import AzureComputeGalleryImage, AzureImage

    if order.image.startswith("/"):
        parts = order.image.strip("/").split("/")
        if len(parts) < 10:
            raise UserError(
                f"image {order.image!r}: /subscriptions/S/resourceGroups/G/providers/P/galleries/A/images/I"
            )
        return AzureComputeGalleryImage(parts[1], parts[3], parts[7], parts[9], driver)
    publisher, _, rest = order.image.partition(":")
    offer, _, rest = rest.partition(":")
    sku, _, version = rest.partition(":")
    if not version:
        raise UserError(f"image {order.image!r}: publisher:offer:sku:version, or the id of a gallery image")
    return AzureImage(version, sku, offer, publisher, order.zone, driver)


def _remove_interface(driver: Any, group: str, machine: str) -> None:
    from libcloud.common.exceptions import BaseHTTPError

    path = (
        f"/subscriptions/{driver.subscription_id}/resourceGroups/{group}/providers/Microsoft.Network/networkInterfaces"
    )
    with suppress(BaseHTTPError):
        driver.ex_destroy_nic(driver.ex_get_nic(f"{path}/{machine}-nic"))
