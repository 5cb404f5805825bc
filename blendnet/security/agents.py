"""Certificates of agents on other machines: made by the agent's own key, signed by the farm, good for nothing else.

One names its agent, and no address: it cannot be used by a server. It says what it may be used for, and that is to be a
client.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from blendnet.errors import FarmError, UserError
from blendnet.security.ca import CA_CERTIFICATE, CA_KEY, certificate_builder, key_usage, read_pair

AGENT_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
"""Fits a certificate's common name, and no character of it means anything in Redis's rules."""
_NAME = re.compile(AGENT_NAME_PATTERN)


@dataclass(frozen=True)
class Request:
    """What a machine asks to be certified."""

    name: str
    """'': whatever it is given."""
    key: ec.EllipticCurvePublicKey

    @property
    def key_hash(self) -> str:
        return _key_hash(self.key)


@dataclass(frozen=True)
class Identity:
    """Who a certificate, verified by TLS, says that its owner is."""

    name: str
    key_hash: str
    """SHA-256 of the public key."""
    expires_at: float


def make_key() -> bytes:
    """A new private key, PEM. It never leaves the machine that makes it."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_request(key: bytes, name: str) -> str:
    """A certificate signing request (PEM) for a private key (PEM)."""
    private = serialization.load_pem_private_key(key, password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    request = x509.CertificateSigningRequestBuilder(subject_name=subject).sign(private, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def read_request(pem: str) -> Request:
    """What a request asks for, once it is sure that whoever made it has the key.

    Raises:
        UserError: it is damaged, signed by another key, or of a kind that is not accepted.
    """
    try:
        found = x509.load_pem_x509_csr(pem.encode())
        key = found.public_key()
        valid = found.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature, UnicodeEncodeError) as error:
        raise UserError("the certificate request is damaged") from error
    if not valid or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UserError("the certificate request must have a key on the curve P-256 and be signed with it")
    return Request(_common_name(found.subject), key)


def check_name(name: str) -> str:
    """The name, if a joined agent may have it. Raises UserError."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name[:80]!r} cannot be an agent's name: letters, digits, '.', '_' and '-', at most 63 of them"
        )
    return name


def sign(folder: Path, request: Request, name: str, *, lifetime_s: float, now: datetime.datetime) -> str:
    """The certificate (PEM) of agent `name` with the request's key, signed by the authority in `folder`.

    Raises:
        FarmError: there is no authority.
    """
    ca = read_pair(folder / CA_CERTIFICATE, folder / CA_KEY)
    if ca is None:
        raise FarmError(f"the farm's certificate authority in {folder} is damaged: start the farm anew")
    until = min(now + datetime.timedelta(seconds=lifetime_s), ca.certificate.not_valid_after_utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        certificate_builder(subject, ca.certificate.subject, request.key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def identity_of(der: bytes) -> Identity | None:
    """Who is named in a certificate that TLS has verified; None when it is not an agent's."""
    try:
        return _identity(x509.load_der_x509_certificate(der))
    except ValueError:
        return None


def read_identity(path: Path) -> Identity | None:
    """The same for a PEM file of this machine; None also when there is none."""
    try:
        return _identity(x509.load_pem_x509_certificate(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        return None


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate (PEM), as 64 hexadecimal digits. Raises UserError when it is none, or not alone."""
    return _only(certificate).fingerprint(hashes.SHA256()).hex()


def only_certificate(pem: bytes) -> bytes:
    """The certificate (PEM) that `fingerprint` is of, encoded anew: whoever trusts it trusts nothing else.

    Raises:
        UserError: there is none, or more than one; the text is to follow what it is about.
    """
    return _only(pem).public_bytes(serialization.Encoding.PEM)


def _only(pem: bytes) -> x509.Certificate:
    # TLS trusts every certificate of a file, of whatever name: one that is added to the farm's could pose as it.
    if (blocks := pem.count(b"-----BEGIN")) > 1:
        raise UserError(f"there is not one certificate (PEM) in it, but {blocks}")
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise UserError("there is no certificate (PEM) in it") from error


def _identity(certificate: x509.Certificate) -> Identity | None:
    name, key = _common_name(certificate.subject), certificate.public_key()
    if not _NAME.fullmatch(name) or not isinstance(key, ec.EllipticCurvePublicKey):
        return None
    return Identity(name, _key_hash(key), certificate.not_valid_after_utc.timestamp())


def _key_hash(key: ec.EllipticCurvePublicKey) -> str:
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def _common_name(subject: x509.Name) -> str:
    found = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else ""
