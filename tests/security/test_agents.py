"""Certificates of agents: for their own key, for clients alone, and for nobody else's name."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from blendnet.errors import UserError
from blendnet.security import agents
from blendnet.security.ca import ensure_server_certificate

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ensure_server_certificate(tmp_path, now=NOW)
    return tmp_path


def signed(folder: Path, key: bytes, name: str = "a1", *, lifetime_s: float = 3600.0) -> x509.Certificate:
    request = agents.read_request(agents.make_request(key, name))
    return x509.load_pem_x509_certificate(agents.sign(folder, request, name, lifetime_s=lifetime_s, now=NOW).encode())


def test_certificate_is_for_clients_alone(folder: Path) -> None:
    extensions = signed(folder, agents.make_key()).extensions
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert (list(usage.value), usage.critical) == ([ExtendedKeyUsageOID.CLIENT_AUTH], True)
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_certificate_says_who_it_is_for_how_long(folder: Path) -> None:
    key = agents.make_key()
    certificate = signed(folder, key)
    identity = agents.identity_of(certificate.public_bytes(serialization.Encoding.DER))
    expected = agents.read_request(agents.make_request(key, ""))
    assert identity == agents.Identity("a1", expected.key_hash, NOW.timestamp() + 3600)


def test_server_certificate_is_no_agents(folder: Path) -> None:
    assert agents.read_identity(folder / "server.crt") is None


@pytest.mark.parametrize(
    "pem", ["", "rubbish", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_damaged_request_is_refused(pem: str) -> None:
    with pytest.raises(UserError, match="damaged"):
        agents.read_request(pem)


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())])
def test_request_with_another_kind_of_key_is_refused(key: ec.EllipticCurvePrivateKey) -> None:
    request = x509.CertificateSigningRequestBuilder(subject_name=x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(UserError, match="P-256"):
        agents.read_request(request.public_bytes(serialization.Encoding.PEM).decode())


def test_request_signed_by_another_key_is_refused() -> None:
    mine = agents.make_request(agents.make_key(), "")
    other = x509.load_pem_x509_csr(agents.make_request(agents.make_key(), "").encode())
    der = x509.load_pem_x509_csr(mine.encode())
    forged = der.public_bytes(serialization.Encoding.DER).replace(
        der.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        other.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    )
    pem = x509.load_der_x509_csr(forged).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(UserError, match="signed with it"):
        agents.read_request(pem)


def test_only_certificate_is_the_one_that_was_fingerprinted(folder: Path) -> None:
    pem = (folder / "ca.crt").read_bytes()
    assert agents.only_certificate(b"words\n" + pem + b"words") == pem
    assert agents.fingerprint(b"words\n" + pem + b"words") == agents.fingerprint(pem)


@pytest.mark.parametrize("read", [agents.only_certificate, agents.fingerprint])
@pytest.mark.parametrize("name", [b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE", b"PRIVATE KEY"])
def test_certificate_that_is_not_alone_is_refused(
    folder: Path, tmp_path: Path, name: bytes, read: Callable[[bytes], object]
) -> None:
    pem = (folder / "ca.crt").read_bytes()
    other = ensure_server_certificate(tmp_path / "other").ca.read_bytes().replace(b" CERTIFICATE", b" " + name)
    for both in (pem + other, other + pem):
        with pytest.raises(UserError, match=r"not one certificate .* but 2"):
            read(both)


@pytest.mark.parametrize("read", [agents.only_certificate, agents.fingerprint])
@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"rubbish",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n",
    ],
)
def test_what_is_no_certificate_is_refused(pem: bytes, read: Callable[[bytes], object]) -> None:
    with pytest.raises(UserError, match="no certificate"):
        read(pem)


def test_one_certificate_of_a_kind_that_brings_its_own_trust_is_refused(folder: Path) -> None:
    pem = (folder / "ca.crt").read_bytes().replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE")
    with pytest.raises(UserError, match="no certificate"):
        agents.only_certificate(pem)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a*", "a\n", "a" * 64, "ä", "a@b", "../a"])
def test_name_that_could_mean_something_else_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        agents.check_name(name)
