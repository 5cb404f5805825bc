"""Whom the add-on trusts, what it makes of refusals, and what the artist reads then."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from addon.blendnet_addon.lib import addresses, certificates
from addon.blendnet_addon.lib.connection import Http, Login
from addon.blendnet_addon.lib.errors import AddonError, Offline, Refused, Unreachable, Untrusted, WrongLogin
from addon.blendnet_addon.lib.manager import Manager
from blendnet.security.agents import fingerprint
from blendnet.security.ca import ServerCertificate, ensure_server_certificate
from tests.cutting_proxy import CuttingProxy, cutting
from tests.manager.farms import Kit
from tests.manager.joined import open_farm
from tests.manager.served import Served
from tests.manager.test_impostors import BESIDE, Put, posing, stranger

__all__ = ["stranger"]

Reach = Callable[..., Manager]


def target(served: Served) -> tuple[str, int]:
    parts = urlsplit(served.url)
    return str(parts.hostname), int(parts.port or 0)


@contextmanager
def through(served: Served, reach: Reach, *cuts: int) -> Iterator[tuple[CuttingProxy, Manager]]:
    """A bad line to the farm and the Manager behind it."""
    with cutting(target(served), *cuts) as proxy:
        manager = reach(url=f"https://127.0.0.1:{proxy.port}")
        try:
            yield proxy, manager
        finally:
            manager.http.close()


def test_right_login_gets_answers(manager: Manager) -> None:
    assert manager.farm()["version"]
    assert isinstance(manager.jobs(), list)


def test_another_certificate_is_not_trusted(reach: Reach, tmp_path: Path) -> None:
    other = ensure_server_certificate(tmp_path / "other").ca.read_text("ascii")
    with pytest.raises(Untrusted, match=r"another certificate than the one you confirmed.*connect again"):
        reach(ca_pem=other).farm()


def test_certificate_for_another_address_is_told_apart(reach: Reach, served: Served) -> None:
    with pytest.raises(Untrusted, match="is for another address"):
        reach(url=served.url.replace("127.0.0.1", "127.1")).farm()


def test_wrong_password_is_said_without_it(reach: Reach) -> None:
    with pytest.raises(WrongLogin, match="does not accept this password for user 'owner'") as caught:
        reach(password="guessed").farm()
    assert "guessed" not in str(caught.value)


def test_password_is_in_no_description_of_a_login(login: Login) -> None:
    assert login.password not in repr(login)


def test_absent_manager_is_unreachable(reach: Reach, served: Served) -> None:
    with cutting(target(served)) as proxy:
        port = proxy.port
    with pytest.raises(Unreachable, match=r"cannot be reached.*check that the farm is up"):
        reach(url=f"https://127.0.0.1:{port}").farm()


def test_silent_manager_is_unreachable_in_time(reach: Reach, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addon.blendnet_addon.lib.connection.CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(Unreachable, match="does not answer in time"):
            reach(url=f"https://127.0.0.1:{silent.getsockname()[1]}").farm()


def test_kept_line_that_was_cut_is_made_anew(reach: Reach, served: Served) -> None:
    with through(served, reach) as (proxy, manager):
        manager.farm()
        proxy.drop()
        assert manager.farm()["version"]


def test_refusal_has_the_managers_words_and_code(manager: Manager) -> None:
    with pytest.raises(Refused) as caught:
        manager.job("nosuchjob")
    assert caught.value.code == "not_found"
    assert caught.value.status == 404
    assert "nosuchjob" in str(caught.value)


def test_proxies_of_the_environment_are_not_used(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert manager.farm()["version"]


def test_connection_may_be_used_by_many_threads(manager: Manager) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(len(manager.jobs()))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12


def test_without_internet_only_this_computer_is_asked(login: Login) -> None:
    http = Http(login, online=False)
    assert Manager(http).farm()["version"]
    http.close()
    with pytest.raises(Offline, match="Allow Online Access"):
        Http(Login("https://farm.example:8443", login.ca_pem, "owner", "x"), online=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.0.1"])
def test_loopback_is_this_computer(host: str) -> None:
    assert addresses.is_this_computer(f"https://{host}:1")


@pytest.mark.parametrize("host", ["10.0.0.1", "farm.example", "127.0.0.1.example", "[2001:db8::1]"])
def test_other_addresses_are_not_this_computer(host: str) -> None:
    assert not addresses.is_this_computer(f"https://{host}:1")


@pytest.mark.parametrize("text", ["https://farm:8443", " farm:8443/ ", "https://farm:8443/"])
def test_address_is_taken_as_people_type_it(text: str) -> None:
    assert addresses.manager_url(text) == "https://farm:8443"


@pytest.mark.parametrize(
    "text", ["", "farm", "http://farm:1", "https://u:p@farm:1", "https://farm:1/x", "https://farm:x"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(AddonError, match="https://HOST:PORT"):
        addresses.manager_url(text)


def test_fingerprint_is_the_one_that_the_command_line_shows(served: Served) -> None:
    pem = served.certificate.ca.read_text("ascii")
    assert certificates.fingerprint(pem) == fingerprint(pem.encode())
    assert certificates.normalised(certificates.spelled(certificates.fingerprint(pem)).upper()) == fingerprint(
        pem.encode()
    )
    with pytest.raises(AddonError, match="not a certificate"):
        certificates.fingerprint("hello")
    with pytest.raises(AddonError, match="64 hexadecimal digits"):
        certificates.normalised("12ab")


def test_farm_that_others_may_join_shows_its_certificate(tmp_path: Path, served: Served) -> None:
    with open_farm(tmp_path) as farm:
        assert certificates.fetch(farm.url, 5.0) == farm.ca.read_text("ascii")
    with pytest.raises(AddonError, match="--listen"):
        certificates.fetch(served.url, 5.0)
    with pytest.raises(Unreachable, match="nobody answers"):
        certificates.fetch(farm.url, 5.0)


@BESIDE
def test_who_adds_an_authority_to_the_farms_is_not_compared(
    served: Served, stranger: ServerCertificate, beside: Put
) -> None:
    told = beside(served.certificate.ca.read_bytes(), stranger.ca.read_bytes())
    with posing(stranger.certificate, stranger.key, tells=told) as server:
        url = f"https://127.0.0.1:{server.port}"
        with pytest.raises(AddonError, match=rf"{url} does not answer with its certificate.*security/ca\.crt"):
            certificates.fetch(url, 5.0)


@BESIDE
def test_who_adds_an_authority_to_the_farms_hears_no_password(
    reach: Reach, served: Served, stranger: ServerCertificate, beside: Put
) -> None:
    both = beside(served.certificate.ca.read_bytes(), stranger.ca.read_bytes()).decode("ascii")
    with posing(stranger.certificate, stranger.key, tells=b"{}") as server:
        with pytest.raises(AddonError, match=r"cannot be used.*it has [23] PEM blocks.*security/ca\.crt"):
            reach(url=f"https://127.0.0.1:{server.port}", ca_pem=both).farm()
    assert server.heard == b""


@pytest.mark.parametrize("body", ["", "\n", "\nAAAA\n", "\n\u00e4\n", "\nA\n"])
def test_without_a_certificate_nobody_is_trusted(reach: Reach, body: str) -> None:
    for pem in (body, f"-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----"):
        with pytest.raises(AddonError, match="connect again"):
            reach(ca_pem=pem)


def test_words_around_the_certificate_are_left_out(reach: Reach, served: Served) -> None:
    pem = served.certificate.ca.read_text("ascii")
    wordy = f"The farm's authority, as Zo\u00eb copied it\n{pem}\nthe end\n"
    assert certificates.fingerprint(wordy) == certificates.fingerprint(pem)
    assert reach(ca_pem=wordy).farm()["version"]
    told = wordy.encode("utf-8")
    with posing(served.certificate.certificate, served.certificate.key, tells=told) as server:
        assert certificates.fetch(f"https://127.0.0.1:{server.port}", 5.0) == pem


def test_second_certificate_in_the_same_block_is_not_trusted(served: Served, stranger: ServerCertificate) -> None:
    first, second = (ssl.PEM_cert_to_DER_cert(pem.read_text("ascii")) for pem in (served.certificate.ca, stranger.ca))
    both = ssl.DER_cert_to_PEM_cert(first + second)
    glued = ssl.DER_cert_to_PEM_cert(first).replace("-----END", f"{base64.b64encode(second).decode()}\n-----END")
    for block in (both, glued):
        context = ssl.create_default_context(cadata=certificates.only_certificate(block))
        assert context.get_ca_certs(binary_form=True) == [first]
    assert certificates.fingerprint(both) == hashlib.sha256(first + second).hexdigest()


def test_jobs_are_steered(manager: Manager, kit: Kit) -> None:
    job_id = kit.submit().id
    assert manager.steer(job_id, "pause")["state"] == "paused"
    assert manager.steer(job_id, "resume")["state"] in ("queued", "active")
    assert manager.set_priority(job_id, 90)["priority"] == 90
    assert manager.set_cap(job_id, 2.5)["cap_usd"] == 2.5
    assert [frame["number"] for frame in manager.frames(job_id)] == [1]
    assert manager.events(job_id)
    assert manager.steer(job_id, "cancel")["state"] == "canceled"
    manager.remove(job_id)
    with pytest.raises(Refused, match=job_id):
        manager.job(job_id)


def test_agents_are_added_and_removed(manager: Manager, served: Served) -> None:
    names = manager.add_agents(2)
    assert names == served.fleet.names
    manager.remove_agent(names[0])
    assert served.fleet.names == names[1:]
