"""A TLS server of an authority of its own that gives files of a folder."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blendnet.security.ca import ensure_server_certificate


@dataclass
class Served:
    """The server, while it runs."""

    url: str
    ca: Path
    logins: list[str] = field(default_factory=list)
    """Authorization headers of the requests, '' for those without."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """All headers of each request, their names in small letters."""
    expired: str = ""
    """Addresses with this in them are refused, as S3 does with signed ones whose time is over."""
    broken: int = 0
    """So many answers to come break off in the middle."""


@contextmanager
def serving(root: Path, security: Path) -> Iterator[Served]:
    """Serve the files of `root`; `security`: where the authority is made."""
    certificate = ensure_server_certificate(security)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(root))

        def do_GET(self) -> None:
            served.logins.append(self.headers.get("Authorization", ""))
            served.headers.append({name.lower(): value for name, value in self.headers.items()})
            if served.expired and served.expired in self.path:
                self.send_error(403, "Request has expired")
                return
            if served.broken:
                served.broken -= 1
                content = (root / self.path.lstrip("/")).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                return
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    served = Served(f"https://127.0.0.1:{server.server_address[1]}", certificate.ca)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
