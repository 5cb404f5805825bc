"""What the doctor says of clouds behind apache-libcloud: whether they are there, the clock, prices."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from email.utils import formatdate
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from blendnet.errors import FarmError
from blendnet.provision.base import CheckState, MachineType, Offer, Price
from blendnet.provision.libcloud import checks
from tests.provision.libcloud.conftest import Set

NOW = 1_795_800_000.0
TYPES = [MachineType("small", 2, 1 << 32), MachineType("large", 8, 1 << 34)]


class Refusing(http.server.BaseHTTPRequestHandler):
    """A cloud that wants a login."""

    def do_HEAD(self) -> None:
        self.send_error(401)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_refusal_is_an_answer_and_tells_the_time(address: str) -> None:
    reached, clock = checks.reach(address, lambda: NOW, checks.head)
    assert (reached.name, reached.state) == ("reachability", CheckState.OK)
    assert (clock.name, clock.help != "") == ("clock", clock.state is not CheckState.OK)


def test_a_cloud_that_is_not_there_is_told_with_what_shows_it() -> None:
    (check,) = checks.reach("http://127.0.0.1:1/", lambda: NOW, checks.head)
    assert (check.name, check.state, check.help) == (
        "reachability", CheckState.PROBLEM, "curl -sI http://127.0.0.1:1/",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("off_s", "state"), [(5, CheckState.OK), (100, CheckState.WARNING), (-900, CheckState.PROBLEM)]
)
def test_a_wrong_clock_is_told(off_s: float, state: CheckState) -> None:
    _, clock = checks.reach("https://sky/", lambda: NOW + off_s, lambda url: formatdate(NOW, usegmt=True))
    assert clock.state is state
    assert clock.help == ("" if state is CheckState.OK else checks.CLOCK_HELP)


def test_a_cloud_that_does_not_say_the_time_is_a_warning() -> None:
    assert [check.state for check in checks.reach("https://sky/", lambda: NOW, lambda url: "")] == [
        CheckState.OK, CheckState.WARNING,
    ]  # fmt: skip


def test_prices_have_source_and_age() -> None:
    known = {Offer("large", "", False): Price("large", "", False, 0.25, "live", NOW - 3600)}
    check = checks.prices(TYPES, lambda offers: known, NOW)
    assert (check.state, check.help) == (CheckState.OK, "")
    assert check.message == "of 1 of 2 machine types; large 0.25 USD/h (live, 1.0 h old)"


def test_unknown_prices_warn_with_the_way_to_go_on() -> None:
    def away(offers: object) -> dict[Offer, Price]:
        raise FarmError("no answer")

    for ask in (away, lambda offers: {}):
        check = checks.prices(TYPES, ask, NOW)
        assert check.state is CheckState.WARNING
        assert "BLENDNET_FLEET_UNKNOWN_PRICES" in check.help


def test_a_cloud_out_of_reach_is_not_taken_for_a_wrong_login_alone(scene: Set) -> None:
    def nobody(url: str) -> str:
        raise OSError("no route to host")

    made = scene("digitalocean")
    made.provider._head = nobody
    with patch.object(made.driver, "list_nodes", side_effect=OSError("no route to host")):
        made.provider._driver  # noqa: B018  # It knows where the cloud is.
        found = made.provider.checks()
    assert [(check.name, check.state) for check in found] == [
        ("reachability", CheckState.PROBLEM), ("credentials", CheckState.PROBLEM),
    ]  # fmt: skip


def test_a_cloud_that_has_answered_is_there_whatever_its_front_page_says(scene: Set) -> None:
    def untrusted(url: str) -> str:
        raise OSError("certificate verify failed")

    made = scene("vultr")
    made.provider._head = untrusted
    states = {check.name: check.state for check in made.provider.checks()}
    assert (states["reachability"], states["clock"]) == (CheckState.OK, CheckState.WARNING)


@pytest.mark.parametrize(
    ("connection", "address"),
    [
        ({"host": "api.sky", "secure": True, "port": 443}, "https://api.sky/"),
        ({"host": "10.0.0.5", "secure": False, "port": 8774}, "http://10.0.0.5:8774/"),
        ({"host": "api.sky"}, "https://api.sky/"),
        ({}, ""),
    ],
)
def test_the_address_is_the_drivers(connection: dict[str, object], address: str) -> None:
    assert checks.address_of(SimpleNamespace(connection=SimpleNamespace(**connection))) == address
