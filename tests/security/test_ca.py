"""The certificate authority: made once, its server certificate renewed when needed, trusted by clients of it alone."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509

from blendnet.security.ca import RENEW_BEFORE, SERVER_LIFETIME, ServerCertificate, ensure_server_certificate

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def contents(files: ServerCertificate) -> tuple[bytes, bytes, bytes]:
    return files.ca.read_bytes(), files.certificate.read_bytes(), files.key.read_bytes()


def handshake(files: ServerCertificate, *, trusted: Path, name: str) -> None:
    """One TLS connection over a socket pair; raises what the client's side raises."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=str(trusted))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(far, server_side=True).close()
        except (ssl.SSLError, OSError):
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(near, server_hostname=name).close()
    finally:
        near.close()
        thread.join()


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    ensure_server_certificate(tmp_path / "new")
    assert {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "new").iterdir()} == dict.fromkeys(
        ["ca.crt", "ca.key", "server.crt", "server.key"], 0o600
    )


def test_certificate_stays_while_it_is_good(tmp_path: Path) -> None:
    first = contents(ensure_server_certificate(tmp_path, ["farm.example"], now=NOW))
    again = contents(
        ensure_server_certificate(tmp_path, ["FARM.example"], now=NOW + SERVER_LIFETIME - RENEW_BEFORE - DAY)
    )
    assert again == first


@pytest.mark.parametrize(
    ("addresses", "now"),
    [(["farm.example"], NOW + SERVER_LIFETIME - RENEW_BEFORE + DAY), (["farm.example", "10.0.0.7"], NOW)],
    ids=["it expires soon", "addresses changed"],
)
def test_certificate_is_renewed_under_the_same_ca_when(
    tmp_path: Path, addresses: list[str], now: datetime.datetime
) -> None:
    first = contents(ensure_server_certificate(tmp_path, ["farm.example"], now=NOW))
    again = contents(ensure_server_certificate(tmp_path, addresses, now=now))
    assert again[0] == first[0]
    assert again[1] != first[1]


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "server.crt", "server.key"])
def test_damaged_file_is_replaced_by_a_working_set(tmp_path: Path, name: str) -> None:
    ensure_server_certificate(tmp_path)
    (tmp_path / name).write_text("rubbish")
    files = ensure_server_certificate(tmp_path)
    handshake(files, trusted=files.ca, name="localhost")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "10.0.0.7", "farm.example"])
def test_client_that_trusts_the_ca_accepts_the_server_under(tmp_path: Path, name: str) -> None:
    files = ensure_server_certificate(tmp_path, ["10.0.0.7", "farm.example"])
    handshake(files, trusted=files.ca, name=name)


def test_client_refuses_another_name(tmp_path: Path) -> None:
    files = ensure_server_certificate(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, trusted=files.ca, name="elsewhere.example")


def test_client_of_another_ca_refuses_the_server(tmp_path: Path) -> None:
    files, other = ensure_server_certificate(tmp_path / "a"), ensure_server_certificate(tmp_path / "b")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, trusted=other.ca, name="localhost")


def test_server_certificate_cannot_sign_others(tmp_path: Path) -> None:
    files = ensure_server_certificate(tmp_path)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_certificates_are_valid_on_an_agent_whose_clock_is_hours_late(tmp_path: Path) -> None:
    files = ensure_server_certificate(tmp_path, [], now=NOW)
    for path in (files.ca, files.certificate):
        assert x509.load_pem_x509_certificate(path.read_bytes()).not_valid_before_utc <= NOW - datetime.timedelta(
            hours=2
        )
