"""The address under which the internet sees this computer: asked of a service that answers with nothing else."""

import ipaddress
import urllib.error
import urllib.request

from .errors import AddonError

SERVICE = "https://checkip.amazonaws.com"
LIMIT_S = 15.0
MAX_BYTES = 64


def own_address(service=SERVICE):
    """An IPv4 address. Raises AddonError."""
    otherwise = "name the networks that may reach the Manager, such as 203.0.113.7/32"
    try:
        with urllib.request.urlopen(service, timeout=LIMIT_S) as answer:
            text = answer.read(MAX_BYTES).decode("ascii", "replace").strip()
        return str(ipaddress.IPv4Address(text))
    except (OSError, urllib.error.URLError) as error:
        raise AddonError(f"{service} does not tell this computer's address ({error}): {otherwise}") from error
    except ValueError as error:
        raise AddonError(f"{service} tells no IPv4 address: {otherwise}") from error
