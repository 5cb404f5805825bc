"""The provider of all clouds that apache-libcloud reaches, over recorded answers."""

from __future__ import annotations

import base64
import json
from typing import Any
from unittest.mock import patch

import pytest

from blendnet.errors import FarmError, UserError
from blendnet.provision.base import CheckState, InstanceState, Offer, Place, Shortage, Wanted
from blendnet.provision.libcloud.clouds import CLOUDS
from blendnet.provision.libcloud.provider import LibcloudProvider, shortage_of, state_of
from blendnet.provision.registry import BUILT_IN, open_provider
from tests.provision.libcloud.conftest import NEW_DROPLET, RECORDED, Scene, Set, options
from tests.provision.libcloud.dummy import ZONE, Dummy, dummy_provider

ALL = sorted(CLOUDS)
PRICED = ("azure", "digitalocean", "linode", "vultr")
"""Clouds whose recorded answers, or the list of libcloud, have prices."""


def ordered(scene: Scene, cloud: str, *, spot: bool = False) -> Any:
    """Order a machine over the recorded answers; the recorded machine takes the name that the farm gives its own."""
    token = "request-1"
    offer = Offer(scene.recorded.size, scene.recorded.zone, spot)
    machine = scene.provider._order("agent-1", offer, "", token).machine_name
    if cloud == "azure":
        scene.rename["test-node-1"] = machine
    wanted = Wanted(names=["agent-1"], offers=[offer], user_data=lambda name: f"#cloud-config {name}", token=token)
    with patch.object(scene.provider, "_nodes", return_value=[]):
        return scene.provider.create(wanted)


def machine_name(scene: Scene) -> str:
    return scene.provider._order("agent-1", Offer("", "", False), "", "t").machine_name


@pytest.mark.parametrize("cloud", ALL)
def test_machine_types_are_listed_with_processors_and_memory(scene: Set, cloud: str) -> None:
    made = scene(cloud)
    types = {one.name: one for one in made.provider.machine_types()}
    assert types, "an empty list would prove nothing"
    assert types[made.recorded.size].vcpus == made.recorded.vcpus
    assert types[made.recorded.size].memory_bytes >= 1 << 29


@pytest.mark.parametrize("cloud", ALL)
def test_agents_are_found_by_their_names_and_others_left_alone(scene: Set, cloud: str) -> None:
    made = scene(cloud, **options(cloud))
    assert list(made.provider.list()) == [], "recorded machines belong to nobody's farm"
    made.rename[made.recorded.name] = machine_name(made)
    found = made.provider.list()
    assert {one.name for one in found} == {"agent-1"}
    assert all(one.id for one in found)


@pytest.mark.parametrize("cloud", ALL)
def test_a_machine_that_is_listed_no_more_is_gone(scene: Set, cloud: str) -> None:
    made = scene(cloud, **options(cloud))
    made.rename[made.recorded.name] = machine_name(made)
    assert made.provider.list()
    made.rename.clear()
    gone = made.provider.list()
    assert gone
    assert {(one.state, one.reason) for one in gone} == {(InstanceState.GONE, "no longer listed")}
    assert all(one.ended_at for one in gone)


@pytest.mark.parametrize(
    ("cloud", "usd"), [("digitalocean", 0.01488), ("linode", 0.015), ("vultr", 5 / 672)], ids=lambda v: str(v)
)
def test_prices_are_those_of_an_hour(scene: Set, cloud: str, usd: float) -> None:
    made = scene(cloud)
    offer = Offer(made.recorded.size, made.recorded.zone, False)
    price = made.provider.prices([offer])[offer]
    assert price.usd_per_hour == pytest.approx(usd)
    assert price.source == "live"


@pytest.mark.parametrize("cloud", ["openstack", "scaleway"])
def test_an_unknown_price_is_no_price(scene: Set, cloud: str) -> None:
    made = scene(cloud)
    assert made.provider.prices([Offer(made.recorded.size, made.recorded.zone, False)]) == {}
    assert made.provider.features.cannot["prices"]


def test_azures_price_is_the_lists_upper_bound(scene: Set) -> None:
    offer = Offer("Standard_F8s_v2", "eastus", True)
    price = scene("azure").provider.prices([offer])[offer]
    assert price.source == "list"
    assert price.usd_per_hour > 0.1


@pytest.mark.parametrize("cloud", ["azure", "linode", "openstack", "vultr"])
def test_a_machine_is_ordered_with_its_cloud_init(scene: Set, cloud: str) -> None:
    made = scene(cloud, **options(cloud))
    created = ordered(made, cloud)
    assert [one.name for one in created.instances] == ["agent-1"], created.refusals
    sent = " ".join(str(one.body) for one in made.asked if one.body)
    coded = base64.b64encode(b"#cloud-config agent-1").decode()
    assert coded in sent or "#cloud-config agent-1" in sent


def test_a_droplet_is_ordered_with_its_cloud_init(scene: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene("digitalocean")
    import libcloud.test.compute.test_digitalocean_v2 as recorded

    usual = recorded.DigitalOceanComputeMockHttp._v2_droplets

    def droplets(self: Any, method: str, url: str, body: Any, headers: Any) -> Any:
        if method != "POST":
            return usual(self, method, url, body, headers)
        droplet = {**NEW_DROPLET, "droplet": {**NEW_DROPLET["droplet"], "name": json.loads(body)["name"]}}
        return 202, json.dumps(droplet), {}, "Accepted"

    monkeypatch.setattr(recorded.DigitalOceanComputeMockHttp, "_v2_droplets", droplets)
    created = ordered(made, "digitalocean")
    assert [(one.name, one.id) for one in created.instances] == [("agent-1", "3164494")]
    (body,) = made.bodies("POST")
    assert (body["size"], body["region"], body["image"]) == ("1gb", "nyc1", "debian-12-x64")
    assert (body["user_data"], body["tags"]) == ("#cloud-config agent-1", ["blendnet:farm"])


@pytest.mark.parametrize("spot", [True, False])
def test_azure_gets_spot_and_cloud_init_that_its_driver_cannot_ask_for(scene: Set, spot: bool) -> None:
    made = scene("azure", **options("azure"))
    created = ordered(made, "azure", spot=spot)
    assert [one.spot for one in created.instances] == [spot], created.refusals
    (body,) = [json.loads(one.body) for one in made.asked if one.method == "PUT" and "/virtualMachines/" in one.url]
    properties = body["properties"]
    assert base64.b64decode(properties["osProfile"]["customData"]).decode() == "#cloud-config agent-1"
    assert properties.get("priority") == ("Spot" if spot else None)
    assert properties.get("evictionPolicy") == ("Delete" if spot else None)
    assert properties.get("billingProfile") == ({"maxPrice": -1} if spot else None)
    assert properties["storageProfile"]["osDisk"]["deleteOption"] == "Delete"
    assert properties["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"] == "Delete"
    assert body["tags"] == {"blendnet-farm": "farm"}
    assert "identity" not in body, "agents hold no cloud keys"
    assert "request" not in vars(made.driver.connection), "the connection is as it was"


def test_azures_own_customdata_is_still_broken(scene: Set) -> None:
    """When this fails, the wrapper in provision/libcloud/azure.py may go."""
    from libcloud.compute.base import NodeAuthPassword, NodeLocation, NodeSize
    from libcloud.compute.drivers.azure_arm import AzureImage

    driver = scene("azure").driver
    for data in ("text", b"bytes"):
        with pytest.raises(TypeError):
            driver.create_node(
                "test-node-1", NodeSize("s", "s", 0, 0, 0, 0, driver), AzureImage("1", "1", "o", "p", "l", driver),
                NodeAuthPassword("p"), "000000", location=NodeLocation("l", "l", "", driver), ex_network="000000",
                ex_subnet="000000", ex_use_managed_disks=True, ex_customdata=data,
            )  # fmt: skip


def test_scaleway_stores_cloud_init_before_the_machine_is_switched_on(
    scene: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scene("scaleway", **options("scaleway"))
    import libcloud.test.compute.test_scaleway as recorded

    stored = "_servers_741db378_user_data_cloud_init_POST"
    answer = (204, "", {}, "No Content")
    monkeypatch.setattr(recorded.ScalewayMockHttp, stored, lambda *request: answer, raising=False)
    sizes = made.driver.list_sizes()
    monkeypatch.setattr(made.driver, "list_sizes", lambda: sizes)
    recorded.ScalewayMockHttp.type = "POST"
    created = ordered(made, "scaleway")
    assert [one.id for one in created.instances] == ["741db378"], created.refusals
    changes = [one for one in made.asked if one.method in ("POST", "PATCH")]
    assert [one.url.partition("?")[0] for one in changes] == [
        "/servers", "/servers/741db378/user_data/cloud-init", "/servers/741db378/action",
    ]  # fmt: skip
    assert (changes[1].body, changes[1].headers["Content-Type"]) == ("#cloud-config agent-1", "text/plain")
    assert json.loads(changes[2].body) == {"action": "poweron"}


@pytest.mark.parametrize("cloud", ["digitalocean", "linode", "vultr", "azure"])
def test_destroying_deletes_the_machine_and_no_other(scene: Set, cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene(cloud, **options(cloud))
    made.rename[made.recorded.name] = machine_name(made)
    removed: list[str] = []
    monkeypatch.setattr(made.driver, "destroy_node", lambda node, **more: removed.append(node.name))
    made.provider.destroy(["agent-1", "agent-7"])
    assert removed == [machine_name(made)]


def test_a_machine_is_deleted_by_the_clouds_own_request(scene: Set) -> None:
    made = scene("vultr")
    made.rename["test1"] = machine_name(made)
    made.provider.destroy(["agent-1"])
    assert [one.url.partition("?")[0] for one in made.asked if one.method == "DELETE"] == ["/v2/instances/123"]


def test_a_name_that_runs_is_left_alone(scene: Set) -> None:
    made = scene("vultr")
    made.rename["test1"] = machine_name(made)
    created = made.provider.create(Wanted(names=["agent-1"], offers=[Offer("vc2-1c-1gb", "ams", False)]))
    assert [one.id for one in created.instances] == ["123"]
    assert not [one for one in made.asked if one.method == "POST"]


def test_what_one_offer_lacks_comes_from_the_next(scene: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene("vultr")
    usual = made.driver.create_node

    def create(**parts: Any) -> Any:
        if parts["location"].id == "ams":
            raise Exception("This plan is sold out in this location")
        return usual(**parts)

    monkeypatch.setattr(made.driver, "create_node", create)
    offers = [Offer("vc2-1c-1gb", "ams", False), Offer("vc2-1c-1gb", "fra", False)]
    created = made.provider.create(Wanted(names=["agent-1"], offers=offers))
    assert [one.zone for one in created.instances] == ["fra"]
    assert [(one.offer.zone, one.shortage) for one in created.refusals] == [("ams", Shortage.CAPACITY)]


def test_the_boot_log_is_openstacks_console(scene: Set) -> None:
    made = scene("openstack", **options("openstack"))
    made.rename["lc-test-2"] = machine_name(made)
    with patch.object(made.driver, "ex_get_console_output", return_value={"output": "FAKE CONSOLE OUTPUT"}):
        assert made.provider.boot_log("agent-1") == "FAKE CONSOLE OUTPUT"
        assert made.provider.boot_log("agent-7") == ""


@pytest.mark.parametrize("cloud", [one for one in ALL if one != "azure"])
def test_spot_is_refused_where_there_is_none(scene: Set, cloud: str) -> None:
    made = scene(cloud, **options(cloud))
    with pytest.raises(UserError, match="on demand"):
        made.provider.create(Wanted(names=["agent-1"], offers=[Offer("x", "", True)]))


@pytest.mark.parametrize("cloud", ALL)
def test_missing_credentials_are_named_by_their_variables(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for known in CLOUDS[cloud].credentials.values() for name in known]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    (check,) = open_provider(cloud, Place("farm", "here")).checks()
    assert (check.name, check.state) == ("credentials", CheckState.PROBLEM)
    assert names[0] in check.message
    assert names[0] in check.help


@pytest.mark.parametrize("cloud", ALL)
@pytest.mark.parametrize(
    "words", ["connection reset by peer", "Label must be unique among your linodes", "would exceed your limit"]
)
def test_a_machine_whose_answer_was_lost_is_adopted(cloud: str, words: str) -> None:
    driver = Dummy()
    provider, driver.loses = dummy_provider(cloud, driver), Exception(words)
    offers = [Offer("two", ZONE, False), Offer("eight", ZONE, False)]
    created = provider.create(Wanted(names=["agent-1"], offers=offers, token="t"))
    assert [(one.name, one.machine) for one in created.instances] == [("agent-1", "two")]
    assert created.refusals == []
    driver.loses = None
    assert [one.id for one in provider.create(Wanted(names=["agent-1"], offers=offers, token="t")).instances] == [
        created.instances[0].id
    ]
    assert [one.name for one in provider.list()] == ["agent-1"]


@pytest.mark.parametrize("cloud", ALL)
def test_what_may_still_come_is_not_asked_for_elsewhere(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, asked = Dummy(), list[str]()

    def create(name: str, *args: Any, **more: Any) -> Any:
        asked.append(name)
        raise Exception("read timed out")

    monkeypatch.setattr(driver, "create_node", create)
    offers = [Offer("two", ZONE, False), Offer("eight", ZONE, False)]
    created = dummy_provider(cloud, driver).create(Wanted(names=["agent-1"], offers=offers, token="t"))
    assert len(asked) == 1
    assert [one.shortage for one in created.refusals] == [Shortage.TROUBLE]


@pytest.mark.parametrize("cloud", ALL)
def test_each_cloud_names_what_it_cannot_do(cloud: str) -> None:
    cannot = CLOUDS[cloud].features.cannot
    assert {"lifetime", "network", "interrupt"} <= set(cannot)
    assert ("quotas" in cannot) is (CLOUDS[cloud].quotas is None)
    assert CLOUDS[cloud].features.spot or "spot" in cannot
    assert CLOUDS[cloud].features.boot_log or "boot log" in cannot
    assert cloud in BUILT_IN


@pytest.mark.parametrize("cloud", ALL)
def test_the_checks_of_a_cloud_that_answers(scene: Set, cloud: str) -> None:
    states = {check.name: check.state for check in scene(cloud).provider.checks()}
    assert states["credentials"] is states["machine types"] is CheckState.OK
    assert states["reachability"] is states["clock"] is CheckState.OK
    assert states["permissions"] is CheckState.WARNING
    assert states["prices"] is (CheckState.OK if cloud in PRICED else CheckState.WARNING)
    assert states["quota"] is CheckState.WARNING


def test_an_empty_list_of_machine_types_is_an_error(scene: Set) -> None:
    made = scene("vultr")
    with patch.object(made.driver, "list_sizes", return_value=[]), pytest.raises(FarmError, match="no machine types"):
        made.provider.machine_types()


def test_a_plain_exception_of_libcloud_becomes_ours(scene: Set) -> None:
    made = scene("linode")
    with patch.object(made.driver, "list_nodes", side_effect=Exception("401 Unauthorized")):
        with pytest.raises(FarmError, match="linode did not list the machines: 401"):
            made.provider.list()


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("running", InstanceState.RUNNING),
        ("pending", InstanceState.STARTING),
        ("stopped", InstanceState.STOPPING),
        ("terminated", InstanceState.STOPPING),
        ("something new", InstanceState.RUNNING),
    ],
)
def test_a_machine_counts_as_gone_only_when_it_is_not_listed(word: str, state: InstanceState) -> None:
    assert state_of(word) is state


@pytest.mark.parametrize(
    ("message", "shortage"),
    [
        (
            "Operation could not be completed as it results in exceeding approved Total Regional Cores quota",
            Shortage.QUOTA,
        ),
        ("SkuNotAvailable: The requested size is currently not available", Shortage.CAPACITY),
        ("OverconstrainedAllocationRequest AllocationFailed", Shortage.CAPACITY),
        ("No valid host was found", Shortage.CAPACITY),
        ("creating this/these droplet(s) will exceed your droplet limit", Shortage.QUOTA),
        ("connection reset", Shortage.TROUBLE),
    ],
)
def test_a_clouds_words_mean(message: str, shortage: Shortage) -> None:
    assert shortage_of(message) is shortage


def test_a_provider_needs_to_know_which_image(scene: Set) -> None:
    made = scene("openstack")
    with pytest.raises(UserError, match="option image"):
        made.provider.create(Wanted(names=["agent-1"], offers=[Offer("7", "", False)]))


def test_no_list_of_prices_is_read_for_flavors_that_have_none(scene: Set) -> None:
    made = scene("openstack")
    with patch("libcloud.pricing.PRICING_DATA", {"compute": {}, "storage": {}}):
        with patch("libcloud.pricing.get_pricing_file_path", side_effect=AssertionError("it is read")):
            assert len(made.provider.machine_types()) > 1


def test_each_recorded_cloud_is_one_of_ours() -> None:
    assert set(RECORDED) == set(ALL)
    assert LibcloudProvider.__doc__
