"""Addresses of Managers: what is one, and is it this computer. Pure."""

import ipaddress
from urllib.parse import urlsplit

from .errors import AddonError


def manager_url(text):
    """'https://HOST:PORT' of what somebody typed: the scheme may be missing. Raises AddonError."""
    text = text.strip()
    full = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(full)
        port = parts.port
    except ValueError:
        raise AddonError(_wrong(text)) from None
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme != "https" or not parts.hostname or port is None or extra:
        raise AddonError(_wrong(text))
    return f"https://{parts.netloc}"


def host_and_port(url):
    """(host, port) of a Manager's address."""
    parts = urlsplit(url)
    return parts.hostname, parts.port


def is_this_computer(url):
    """True when the address never leaves this computer: that is no use of the internet."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong(text):
    return f"{text[:80]!r} is not a Manager's address: write https://HOST:PORT, as `blendnet status` shows it"
