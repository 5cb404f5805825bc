"""The Manager's own certificate authority: made at first start, signs the certificate of the API."""

from __future__ import annotations

import datetime
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from blendnet.security.private_files import write_private

CA_LIFETIME = datetime.timedelta(days=3650)
SERVER_LIFETIME = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)
CLOCK_SKEW = datetime.timedelta(days=1)
"""Certificates are valid from so long before they are made: an agent whose clock is late trusts its Manager too."""

CA_CERTIFICATE, CA_KEY = "ca.crt", "ca.key"
"""Files of the authority, in the folder that ensure_server_certificate is given."""

HOME_ADDRESSES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServerCertificate:
    """Files of a TLS server; clients trust `ca` and nothing else."""

    ca: Path
    """PEM, public: give it to clients."""
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Pair:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_server_certificate(
    folder: Path, addresses: Iterable[str] = (), *, now: datetime.datetime | None = None
) -> ServerCertificate:
    """Certificate for `addresses` (names or IP addresses), this machine's name and the loopback ones.

    What is in `folder` is used while it is valid for more than 30 days and names the same addresses; the CA stays.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    names = sorted({*HOME_ADDRESSES, socket.gethostname().lower(), *(a.lower() for a in addresses)})
    files = ServerCertificate(folder / CA_CERTIFICATE, folder / "server.crt", folder / "server.key")
    ca = read_pair(files.ca, folder / CA_KEY)
    if ca is None or _expires_soon(ca, now):
        ca = _make_ca(now)
        _write(ca, files.ca, folder / CA_KEY)
    server = read_pair(files.certificate, files.key)
    if server is None or _expires_soon(server, now) or not _signed_by(server, ca) or _names(server) != names:
        _write(_make_server(ca, names, now), files.certificate, files.key)
    return files


def _make_ca(now: datetime.datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"BlendNet CA of {socket.gethostname()}"[:64])
    builder = (
        certificate_builder(name, name, key.public_key(), now, now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(sign_certificates=True), critical=True)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def _make_server(ca: Pair, names: list[str], now: datetime.datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + SERVER_LIFETIME, ca.certificate.not_valid_after_utc)
    identifier = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        certificate_builder(_name("BlendNet Manager"), ca.certificate.subject, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
    )
    return Pair(builder.sign(ca.key, hashes.SHA256()), key)


def certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    """What all certificates of a farm have in common."""
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    """To sign certificates, or connections."""
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _names(pair: Pair) -> list[str]:
    """Sorted addresses a certificate is valid for."""
    extension = pair.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return sorted(str(name.value) for name in extension.value)


def _expires_soon(pair: Pair, now: datetime.datetime) -> bool:
    return pair.certificate.not_valid_after_utc - now < RENEW_BEFORE


def _signed_by(pair: Pair, ca: Pair) -> bool:
    try:
        pair.certificate.verify_directly_issued_by(ca.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def read_pair(certificate: Path, key: Path) -> Pair | None:
    """The pair in two files; None when one is missing, damaged or does not belong to the other."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != loaded.public_key():
        return None
    return Pair(loaded, private)


def _write(pair: Pair, certificate: Path, key: Path) -> None:
    pem = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key, pem)
    write_private(certificate, pair.certificate.public_bytes(serialization.Encoding.PEM))
