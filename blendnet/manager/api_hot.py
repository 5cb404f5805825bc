"""The few calls that make up almost all of a large farm's traffic, answered without FastAPI's machinery around them.

They run the very endpoints of api_agents. Whatever is unusual about a request (another role, a query, a body that is
not valid) goes on to FastAPI, which knows what to say about it. Login and limits lie before this layer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blendnet.errors import BlendNetError
from blendnet.manager import api_agents
from blendnet.manager.api_errors import answer
from blendnet.manager.api_parts import NAME_PATTERN, Parts
from blendnet.manager.caller import caller, calls_as
from blendnet.models import Role

THREADS = 2
"""The ledger takes one writer at a time: more threads would only wait for it, and for each other."""
_NAME = re.compile(NAME_PATTERN)
_JSON = b"application/json"


@dataclass(frozen=True)
class Call:
    """An endpoint `(parts, id, body)`, and the type of its body."""

    endpoint: Callable[[Parts, str, Any], BaseModel]
    body: type[BaseModel]


def _call(endpoint: Callable[[Parts, str, Any], BaseModel]) -> Call:
    return Call(endpoint, get_type_hints(endpoint)["body"])


CALLS = {
    ("agents", "report"): _call(api_agents.report),
    ("chunks", "claim"): _call(api_agents.claim),
    ("chunks", "heartbeat"): _call(api_agents.heartbeat),
    ("chunks", "done"): _call(api_agents.done),
}
"""POST /v1/<first>/<id>/<second>."""


class HotCalls:
    """Answers CALLS; everything else is for `app`."""

    def __init__(self, app: ASGIApp, *, parts: Parts) -> None:
        self._app = app
        self._parts = parts
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="hot")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _find(scope)
        if found is None:
            await self._app(scope, receive, send)
            return
        call, name = found
        messages = await _read(receive)
        try:
            body = call.body.model_validate_json(_whole(messages))
        except ValidationError:
            await self._app(scope, _again(messages, receive), send)
            return
        agent = caller()  # The executor's threads know nothing of this request.
        response = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._respond, call, name, body, agent
        )
        await response(scope, receive, send)

    def _respond(self, call: Call, name: str, body: BaseModel, agent: str) -> Response:
        calls_as(agent)
        try:
            content = call.endpoint(self._parts, name, body).model_dump_json()
        except BlendNetError as error:
            return answer(error)
        return Response(content, media_type="application/json")


def _find(scope: Scope) -> tuple[Call, str] | None:
    """The call that a request is, and whom it is about; None when FastAPI is to look at it."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
        return None
    parts = scope["path"].split("/")
    if len(parts) != 5 or parts[1] != "v1" or scope["state"]["role"] is not Role.AGENT:
        return None
    call, name = CALLS.get((parts[2], parts[4])), parts[3]
    if call is None or not _NAME.match(name) or not _is_json(scope):
        return None
    return call, name


def _is_json(scope: Scope) -> bool:
    return any(name == b"content-type" and value.startswith(_JSON) for name, value in scope["headers"])


async def _read(receive: Receive) -> list[Message]:
    """All messages of a body, or up to the client's end."""
    messages = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body", False):
            return messages


def _whole(messages: list[Message]) -> bytes:
    """The body, empty when the client left before its end."""
    if messages[-1]["type"] != "http.request":
        return b""
    return b"".join(message.get("body", b"") for message in messages)


def _again(messages: list[Message], receive: Receive) -> Receive:
    """Receives `messages` once more, and then what comes."""
    left = iter(messages)

    async def replay() -> Message:
        return next(left, None) or await receive()

    return replay
