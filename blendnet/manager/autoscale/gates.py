"""How machines become agents: processes of this machine know everything already, a cloud's machine joins by token."""

from __future__ import annotations

import time

from blendnet.errors import NotFound, UserError
from blendnet.manager.joining import Joining
from blendnet.manager.worker_bundle import own_bundle
from blendnet.messages import TokenRequest
from blendnet.messages.joining import LONGEST_TOKEN_S
from blendnet.provision.base import Features
from blendnet.provision.bootstrap import Identity, user_data
from blendnet.settings import Settings


class OpenGate:
    """For agents on the Manager's machine."""

    new_names = False

    def user_data(self, name: str, lifetime_s: float, *, gpu: bool) -> str:
        """They are started with all they need."""
        return ""

    def shut_out(self, name: str, now: float) -> None:
        """Nobody else can use their login."""


class JoinGate:
    """For a cloud's machines: each gets a token that is good once, for its name, until it should have joined."""

    new_names = True
    """Logs and certificates are under their name."""

    def __init__(self, joining: Joining, settings: Settings, features: Features) -> None:
        self._joining = joining
        self._settings = settings
        self._features = features

    def user_data(self, name: str, lifetime_s: float, *, gpu: bool) -> str:
        """cloud-init of one agent."""
        wanted = TokenRequest(name=name, valid_s=min(self._settings.fleet_boot_limit_s, LONGEST_TOKEN_S))
        made = self._joining.make_token(wanted, time.time())
        identity = Identity(name=name, manager_url=made.url, ca_pem=self._joining.ca.decode(), token=made.token)
        bundle = None
        if self._settings.worker_bundle is not None:
            bundle = own_bundle(self._settings.worker_bundle, made.url, gpu=gpu)
        notice = self._features.notice
        return user_data(identity, lifetime_s=max(1, int(lifetime_s)), notice=notice, bundle=bundle)

    def shut_out(self, name: str, now: float) -> None:
        """Its certificate is worth nothing any more, nor is the token that it may not have used."""
        shut_out(self._joining, name, now)


def shut_out(joining: Joining, name: str, now: float) -> None:
    """An agent's certificate is worth nothing any more, nor is the token that it may not have used."""
    joining.withdraw_tokens(name)
    try:
        joining.revoke(name, now)
    except NotFound:
        return  # It never joined.


def check_reachable(joining: Joining | None, provider: str) -> Joining:
    """Raise UserError when a cloud's machines could not reach this farm."""
    if joining is None:
        raise UserError(
            f"machines of {provider} have to reach this farm: say at which address with BLENDNET_LISTEN "
            "(and BLENDNET_PUBLIC_ADDRESSES)"
        )
    return joining
