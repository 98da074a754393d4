"""A CA's https server that answers what a test has told it to."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from notafter.ca.reach import Reach, networks
from typing_extensions import override

from tests.authority import Authority, pem_of

DIRECTORY = dict.fromkeys(("newNonce", "newAccount", "newOrder"), "https://127.0.0.1/a")
#: Where such a CA is found.
HERE = Reach(networks("127.0.0.0/8"))


class Answers(BaseHTTPRequestHandler):
    """Says what the test has put into `reply`: status, body, headers."""

    reply: tuple[int, bytes, dict[str, str]] = (200, b"", {})

    def do_GET(self) -> None:
        """Answer."""
        status, body, headers = self.reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Ca:
    """An https server with roots of its own."""

    def __init__(self, url: str, root: str) -> None:
        self.url = url
        self.root = root

    def says(self, body: object, status: int = 200, **headers: str) -> None:
        """Answer so from now on."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        Answers.reply = (status, raw, {name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def https(folder: Path) -> Iterator[Ca]:
    """Serve on a port of our own, with a certificate for 127.0.0.1."""
    authority = Authority()
    issued = authority.issue("127.0.0.1")
    path = folder / "server.pem"
    path.write_text(issued.private_key + issued.certificate + issued.chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Ca(f"https://127.0.0.1:{server.server_port}", pem_of(authority.root))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
