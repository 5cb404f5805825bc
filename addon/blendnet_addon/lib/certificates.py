"""The Manager's certificate authority: fetched, fingerprinted, and shown to the artist before it is trusted."""

import hashlib
import http.client
import re
import ssl

from .addresses import host_and_port
from .errors import AddonError, Unreachable

CA_PATH = "/ca.crt"
MAX_BYTES = 65536
_BLOCK = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def fingerprint(pem):
    """SHA-256 of a certificate (PEM) as 64 hexadecimal digits. Raises AddonError when it is none, or not alone."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(only_certificate(pem))).hexdigest()
    except ValueError as error:
        raise AddonError(f"that is not a certificate ({error}): take the Manager's security/ca.crt") from None


def only_certificate(pem):
    """The certificate (PEM) that `fingerprint` is of, encoded anew: whoever trusts it trusts nothing else.

    Raises ValueError when there is none, or more than one; its text follows what it is about.
    """
    # TLS trusts every certificate of a text, of whatever name: one that is added to the Manager's could pose as it.
    blocks, found = pem.count("-----BEGIN"), _BLOCK.search(pem)
    if blocks > 1:
        raise ValueError(f"it has {blocks} PEM blocks instead of one")
    der = ssl.PEM_cert_to_DER_cert(found.group()) if found is not None else b""
    if not der:
        raise ValueError("it has no PEM block CERTIFICATE")
    return ssl.DER_cert_to_PEM_cert(der)


def spelled(print_):
    """A fingerprint as people compare it: groups of four digits."""
    return " ".join(print_[at : at + 4] for at in range(0, len(print_), 4))


def normalised(text):
    """64 hexadecimal digits of a fingerprint as people write it. Raises AddonError."""
    digits = "".join(text.replace(":", "").split()).lower()
    if len(digits) != 64 or not all(digit in "0123456789abcdef" for digit in digits):
        raise AddonError("a fingerprint has 64 hexadecimal digits: `blendnet agent token` prints it as ca_sha256")
    return digits


def fetch(url, timeout_s):
    """The CA certificate (PEM) that the Manager at `url` gives to strangers, and nothing else of its answer.

    Nothing proves who answers and nothing secret is said: the fingerprint that the artist compares is the proof.

    Raises:
        Unreachable: nobody answers.
        AddonError: it answers, and gives none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(*host_and_port(url), timeout=timeout_s, context=context)
    try:
        connection.request("GET", CA_PATH)
        answer = connection.getresponse()
        pem = answer.read(MAX_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"nobody answers at {url} ({error}): check the address and that the farm is up") from error
    finally:
        connection.close()
    if answer.status != 200 or len(pem) > MAX_BYTES:
        raise AddonError(
            f"{url} does not tell its certificate: start its farm with --listen, or choose its security/ca.crt"
        )
    try:
        return only_certificate(pem.decode("ascii", "replace"))
    except ValueError as error:
        raise AddonError(
            f"{url} does not answer with its certificate ({error}), nothing was sent: check the address, or choose the "
            "Manager's security/ca.crt"
        ) from error
