"""Errors as answers of the API: always an ErrorBody, never a stack trace."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from blendnet.errors import BlendNetError, DiskFull, ManagerFull, NoLogin, NotFound, UserError
from blendnet.messages import ErrorBody

MAX_PROBLEMS = 5
"""Problems of a request that are told at once."""
CLIENT_CLOSED = 499


def answer(error: BlendNetError, status: int | None = None) -> JSONResponse:
    """The answer that tells a client about `error`."""
    # Whose disk it is makes all the difference to an agent.
    if isinstance(error, DiskFull) and not isinstance(error, ManagerFull):
        error = ManagerFull(str(error))
    body = ErrorBody(code=error.code, message=str(error), details=error.details)
    headers = {"WWW-Authenticate": 'Basic realm="BlendNet", charset="UTF-8"'} if isinstance(error, NoLogin) else None
    return JSONResponse(body.model_dump(), status or error.status, headers)


def describe(error: ValidationError | RequestValidationError) -> UserError:
    """Where a request is wrong, without repeating what was sent."""
    problems = error.errors()
    told = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems[:MAX_PROBLEMS])
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    return UserError(told + more)


def install(api: FastAPI) -> None:
    """Make `api` answer every error with an ErrorBody."""
    api.add_exception_handler(BlendNetError, _own)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(ClientDisconnect, _gone)
    api.add_exception_handler(Exception, _unexpected)


async def _own(_: Request, error: Exception) -> Response:
    assert isinstance(error, BlendNetError)
    return answer(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(describe(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, BlendNetError):  # Raised by a layer while FastAPI read the body.
        return answer(error.__cause__)
    if isinstance(error.__cause__, ClientDisconnect):
        return Response(status_code=CLIENT_CLOSED)
    if error.status_code == NotFound.status:
        return answer(NotFound(f"there is nothing at {request.url.path}"))
    return answer(UserError(str(error.detail)), error.status_code)


async def _gone(_: Request, error: Exception) -> Response:
    """Nobody reads this answer; it only ends the request quietly."""
    return Response(status_code=CLIENT_CLOSED)


async def _unexpected(_: Request, error: Exception) -> Response:
    """The server's log has the traceback; the client gets no insides."""
    return answer(BlendNetError("the Manager failed: see its log"))
