"""The API's own page of documentation: plain HTML made from the OpenAPI description, no scripts from anywhere."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse

from blendnet.manager.api_login import require
from blendnet.models import Role

router = APIRouter(prefix="/v1", include_in_schema=False, dependencies=[Depends(require(Role.OWNER, Role.AGENT))])

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
code{font-size:.95em}section{border-top:1px solid #ccc;padding:.6rem 0}h3{margin:.4rem 0;font-weight:600}
table{border-collapse:collapse}td{padding:.1rem 1rem .1rem 0;vertical-align:top}"""


@router.get("/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    """The description for programs."""
    return request.app.openapi()


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """The description for people."""
    return HTMLResponse(render(request.app.openapi()))


def render(description: dict[str, Any]) -> str:
    """HTML of an OpenAPI description."""
    title = escape(f"{description['info']['title']} {description['info']['version']}")
    operations = [
        (operation.get("tags", [""])[0], _operation(method, path, operation))
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    tags = list(dict.fromkeys(tag for tag, _ in operations))
    body = "".join(f"<h2>{escape(tag)}</h2>" + "".join(html for t, html in operations if t == tag) for tag in tags)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>Log in with HTTP basic authentication. For programs: "
        f'<a href="/v1/openapi.json">openapi.json</a>.</p>{body}</html>'
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(_parameter(parameter) for parameter in operation.get("parameters", []))
    if body := _body_name(operation):
        rows += f"<tr><td>body<td><code>{escape(body)}</code>"
    head = f"<h3><code>{method.upper()} {escape(path)}</code></h3><p>{escape(operation.get('description', ''))}</p>"
    return f"<section>{head}<table>{rows}</table></section>"


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    kind = schema.get("type") or " or ".join(option.get("type", "") for option in schema.get("anyOf", []))
    need = "" if parameter.get("required") else ", optional"
    return f"<tr><td><code>{escape(parameter['name'])}</code><td>{escape(kind)}{need} ({escape(parameter['in'])})"


def _body_name(operation: dict[str, Any]) -> str:
    """Name of the JSON body's schema; '' when there is none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    return schema.get("title") or schema.get("$ref", "").rpartition("/")[2]
