"""What `blendnet cloud doctor` looks at on clouds behind apache-libcloud, besides login, machine types and quotas."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.base import Check, CheckState, MachineType, Offer, Price

OK, WARNING, PROBLEM = CheckState.OK, CheckState.WARNING, CheckState.PROBLEM
CLOCK_WARNING_S, CLOCK_PROBLEM_S = 60.0, 300.0
"""With tokens no request is refused for its time; certificates of agents are, and bills are counted by it."""
CLOCK_HELP = "sudo timedatectl set-ntp true"
TIMEOUT_S = 20.0
PRICED = 3
"""Prices that are shown."""
UNPRICED_HELP = (
    "BLENDNET_FLEET_UNKNOWN_PRICES=true asks for machines all the same, as long as no cap is set (docs/scaling.md)"
)

Head = Callable[[str], str]


def head(url: str) -> str:
    """The Date of whatever is answered, a refusal too; '' without one. Raises OSError: there is no answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT_S) as answer:
            return str(answer.headers.get("Date", ""))
    except urllib.error.HTTPError as error:
        return str(error.headers.get("Date", ""))


def address_of(driver: Any) -> str:
    """Where a driver's cloud is asked; '': the driver does not say."""
    connection = getattr(driver, "connection", None)
    host, port = getattr(connection, "host", ""), getattr(connection, "port", None)
    scheme = "https" if getattr(connection, "secure", True) else "http"
    usual = port in (None, 443 if scheme == "https" else 80)
    return f"{scheme}://{host}{'' if usual else f':{port}'}/" if isinstance(host, str) and host else ""


def reach(address: str, clock: Callable[[], float], ask: Head, *, known: bool = False) -> Sequence[Check]:
    """Whether the cloud can be reached, and whether the clock here is right. `known`: it has answered a driver."""
    try:
        date = ask(address)
        off_s = abs(clock() - parsedate_to_datetime(date).timestamp()) if date else None
    except (OSError, ValueError, TypeError) as error:
        if known:
            return [
                Check("reachability", OK, f"{address} has answered"),
                Check("clock", WARNING, f"the cloud cannot be asked what time it is: {error}", "timedatectl status"),
            ]
        return [Check("reachability", PROBLEM, f"{address} does not answer: {error}", f"curl -sI {address}")]
    answered = Check("reachability", OK, f"{address} answers")
    if off_s is None:
        return [answered, Check("clock", WARNING, "the cloud does not say what time it is", "timedatectl status")]
    state = OK if off_s < CLOCK_WARNING_S else WARNING if off_s < CLOCK_PROBLEM_S else PROBLEM
    return [
        answered,
        Check("clock", state, f"differs from the cloud's by {off_s:.0f} s", "" if state is OK else CLOCK_HELP),
    ]


def permissions(cloud: str) -> Check:
    """None of these clouds rehearses a call."""
    words = "nobody can say what this login may do before it is done: it has to list, make and delete machines"
    return Check("permissions", WARNING, words, f"see the rights of its token in the console of {cloud}")


def prices(
    machines: Sequence[MachineType], ask: Callable[[Sequence[Offer]], Mapping[Offer, Price]], now: float
) -> Check:
    """Whether prices are known, with the lowest of them, their sources and ages."""
    try:
        known = ask([Offer(machine.name, "", False) for machine in machines])
    except FarmError as error:
        return Check("prices", WARNING, str(error), UNPRICED_HELP)
    if not known:
        return Check("prices", WARNING, f"of {len(machines)} machine types no price is known", UNPRICED_HELP)
    cheap = sorted(known.values(), key=lambda price: price.usd_per_hour)[:PRICED]
    texts = [f"{p.machine} {p.usd_per_hour:g} USD/h ({p.source}, {p.age_s(now) / 3600:.1f} h old)" for p in cheap]
    return Check("prices", OK, f"of {len(known)} of {len(machines)} machine types; {', '.join(texts)}")
