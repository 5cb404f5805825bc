"""Endpoints by which other machines become agents, stay agents, and are no agents any more."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from blendnet.errors import Conflict, NotAllowed
from blendnet.manager.api_login import CA_PATH, IDENTITY, JOIN_PATH, require
from blendnet.manager.api_parts import Done, Id, Parts, PartsHere
from blendnet.manager.caller import only_for
from blendnet.manager.joining import Joining
from blendnet.messages import Joined, JoinRequest, JoinToken, Renewed, RenewRequest, TokenRequest
from blendnet.models import Role

TAG = "other machines"
PEM = "application/x-pem-file"
everybody = APIRouter(tags=[TAG])
joiner = APIRouter(tags=[TAG], dependencies=[Depends(require(Role.JOINER))])
agent = APIRouter(prefix="/v1/agents", tags=[TAG], dependencies=[Depends(require(Role.AGENT))])
owner = APIRouter(prefix="/v1", tags=[TAG], dependencies=[Depends(require(Role.OWNER))])


@everybody.get(CA_PATH, response_class=Response, responses={200: {"content": {PEM: {}}}})
def authority(parts: PartsHere) -> Response:
    """The certificate of the farm's authority: to be compared with its fingerprint before it is trusted."""
    return Response(_joining(parts).ca, media_type=PEM)


@joiner.post(JOIN_PATH)
def join(request: Request, parts: PartsHere, body: JoinRequest) -> Joined:
    """Become an agent. The login is a token, `Authorization: Bearer TOKEN`, which works once."""
    return _joining(parts).join(request.state.token, body, parts.clock())


@agent.post("/{name}/certificate")
def renew(request: Request, parts: PartsHere, name: Id, body: RenewRequest) -> Renewed:
    """A new certificate, for an agent whose connection is made with the one it has."""
    identity = getattr(request.state, IDENTITY, None)
    if identity is None:
        raise NotAllowed("only an agent that has joined has a certificate to renew")
    only_for(name, f"the certificate of agent {name}")
    return _joining(parts).renew(identity, body, parts.clock())


@owner.post("/join-tokens", status_code=201)
def make_token(parts: PartsHere, body: TokenRequest) -> JoinToken:
    """A token with which one machine can join."""
    return _joining(parts).make_token(body, parts.clock())


@owner.post("/agents/{name}/revoke")
def revoke(parts: PartsHere, name: Id) -> Done:
    """Shut an agent of another machine out, at once and for good."""
    _joining(parts).revoke(name, parts.clock())
    return Done()


def _joining(parts: Parts) -> Joining:
    if parts.joining is None:
        raise Conflict("this farm serves its own machine alone: start it with `blendnet up --listen ADDRESS`")
    return parts.joining
