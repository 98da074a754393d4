"""A DNS provider with an API: what acme.sh's hook `dns_pdns` asks for, before the lab's own DNS server.

    with Provider(lab) as provider:
        ...  # a client that is given `provider.variables`
        provider.err(503, "PATCH")
    assert provider.asked == [...]

It speaks as PowerDNS does (doc.powerdns.com/authoritative/http-api/zone.html) and errs on request.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from tests.lab.fleet import ZONE
from tests.lab.plan import GATEWAY

if TYPE_CHECKING:
    from types import TracebackType

    from tests.lab.lab import Lab

_ZONE_PATH = f"/api/v1/servers/localhost/zones/{ZONE}."


@dataclass(frozen=True)
class Error:
    """How it answers instead: a status, or nothing at all."""

    status: int | None
    method: str | None = None  #: the requests that it hits; None is all
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Provider:
    """Listens in the lab's network while its `with` block runs."""

    lab: Lab
    token: str = "provider-token-7f3a"
    error: Error | None = None
    #: Seconds until a record that was set can be seen.
    delay: float = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    records: dict[str, set[str]] = field(default_factory=dict)
    #: How many records stood at a name at most.
    most: dict[str, int] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _late: list[threading.Thread] = field(default_factory=list)
    port: int = 0

    hook = "dns_pdns"

    @property
    def variables(self) -> dict[str, str]:
        """What the hook asks for; the token is a secret."""
        return {
            "PDNS_Url": f"http://{GATEWAY}:{self.port}",
            "PDNS_ServerId": "localhost",
            "PDNS_Token": self.token,
            "PDNS_Ttl": "1",
        }

    def __enter__(self) -> Self:
        self.lab.call(self._listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._close()
        for thread in self._late:
            thread.join(20)
        for name in self.records:
            self.lab.dns.clear(name)

    def _listen(self) -> None:
        server = _Server((GATEWAY, self.port), _Handler)
        server.provider = self
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="provider", daemon=True)
        thread.start()

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join(20)

        self._close = close

    def note(self, method: str, path: str) -> Error | None:
        """Keeps a request in mind; how it is to be answered wrongly, if it is."""
        with self._lock:
            self.asked.append((method, path))
            error = self.error
        return error if error is not None and error.method in (None, method) else None

    def change(self, name: str, values: set[str]) -> None:
        """Replaces the records of a name; the lab's server shows it, at once or later."""
        with self._lock:
            self.records[name] = values
            self.most[name] = max(self.most.get(name, 0), len(values))
        if self.delay and values:
            late = threading.Thread(target=self._show_late, args=(name,), daemon=True)
            self._late.append(late)
            late.start()
        else:
            self._show(name)

    def _show_late(self, name: str) -> None:
        if not self.stopping.wait(self.delay):
            self._show(name)

    def _show(self, name: str) -> None:
        with self._lock:
            values = self.records.get(name, set())
            self.lab.dns.replace_txt(name, values)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    provider: Provider


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _exchange(self) -> None:
        provider = self.server.provider
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        error = provider.note(self.command, self.path)
        if error is not None and error.status is None:
            provider.stopping.wait(300)
            self.close_connection = True
        elif error is not None:
            self._reply(error.status or 500, {"error": "as it was told to"}, error.headers)
        elif self.headers.get("X-API-Key") != provider.token:
            self._reply(401, {"error": "Unauthorized"})
        else:
            self._answer(provider, body)

    do_GET = do_PATCH = do_PUT = _exchange  # noqa: N815 -- the names that http.server calls

    def _answer(self, provider: Provider, body: bytes) -> None:
        if self.command == "PATCH":
            for change in json.loads(body)["rrsets"]:
                values = {record["content"].strip('"') for record in change.get("records", [])}
                provider.change(change["name"].rstrip("."), values)
            self._reply(204, None)
        elif self.path == f"{_ZONE_PATH}/notify":
            self._reply(200, {"result": "Notification queued"})
        elif self.path == _ZONE_PATH:
            self._reply(200, {"name": f"{ZONE}.", "rrsets": _sets(provider)})
        else:  # a list of zones, of one name
            wanted = self.path.rpartition("zone=")[2]
            self._reply(200, [{"id": wanted, "name": wanted}] if wanted == f"{ZONE}." else [])

    def _reply(self, status: int, content: object, headers: tuple[tuple[str, str], ...] = ()) -> None:
        body = b"" if content is None else json.dumps(content, separators=(",", ":")).encode()
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was asked is in `asked`."""


def _sets(provider: Provider) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{name}.",
            "type": "TXT",
            "records": [{"content": f'"{value}"', "disabled": False} for value in sorted(values)],
        }
        for name, values in provider.records.items()
        if values
    ]
