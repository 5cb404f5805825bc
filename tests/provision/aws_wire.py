"""Requests to AWS and its errors, as they look on the wire. PURE."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

READING = re.compile(r"(Describe|Get|List|Head|Lookup)")
"""Begin of operations that change nothing."""


XML = [("Content-Type", "text/xml")]
JSON = [("Content-Type", "application/x-amz-json-1.1")]


@dataclass(frozen=True)
class Call:
    """One request as it came in."""

    service: str
    operation: str
    """As the API calls it; of S3: method and what the query asks for, 'PUT ?lifecycle'."""
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: bytes = b""
    json: bool = False

    @property
    def changes(self) -> bool:
        """True when it may change something."""
        if self.service == "s3":
            return not self.operation.startswith(("GET", "HEAD"))
        return not READING.match(self.operation)


_SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")


def read_call(environ: Mapping[str, Any], body: bytes) -> Call:
    """What a request asks for."""
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = scope[1] if scope else ""
    if service == "s3":
        query = re.sub(r"=[^&]*", "", environ.get("QUERY_STRING", ""))
        return Call(service, f"{environ['REQUEST_METHOD']} ?{query}".rstrip("? "), body=body)
    if target := environ.get("HTTP_X_AMZ_TARGET", ""):
        return Call(service, target.rpartition(".")[2], body=body, json=True)
    form = {key: values[0] for key, values in parse_qs(body.decode(errors="replace")).items()}
    return Call(service, form.get("Action", ""), form, body)


def answered(call: Call, code: str, status: int, text: str) -> tuple[str, Any, bytes]:
    """An error as the service would word it."""
    text = escape(text)
    line = f"{status} {'Server' if status >= 500 else 'Client'} Error"
    if call.json:
        return line, JSON, json.dumps({"__type": code, "message": text}).encode()
    error = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
    if call.service == "ec2":
        error = f"<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>"
    elif call.service != "s3":
        error = f"<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>"
    return line, XML, error.encode()
