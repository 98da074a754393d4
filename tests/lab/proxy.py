"""A reverse proxy before the lab's CA that counts what ACME clients ask for, and errs on request.

    with Proxy.before(lab, Fault(RATE_LIMITED, Step.NEW_ORDER)) as proxy:
        ...  # a client that is given `proxy.directory_url` and `proxy.https_root_pem`
    assert proxy.count(Step.NEW_ORDER) == 1

Pebble makes its URLs from the Host header, which is passed on: they all lead through the proxy.
Each client gets a proxy of its own, so that what was asked is what that client has asked.
"""

from __future__ import annotations

import http.client
import re
import ssl
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from tests.authority import Authority, Issued, pem_of
from tests.lab.plan import GATEWAY
from tests.lab.proxy_orders import Orders

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import TracebackType

    from tests.lab.lab import Lab


class Step(StrEnum):
    """What an ACME client asks for (RFC 8555 section 7, RFC 9773)."""

    DIRECTORY = "directory"
    NEW_NONCE = "newNonce"
    NEW_ACCOUNT = "newAccount"
    NEW_ORDER = "newOrder"
    AUTHORIZATION = "authorization"
    CHALLENGE = "challenge"
    FINALIZE = "finalize"
    ORDER = "order"
    CERTIFICATE = "certificate"
    RENEWAL_INFO = "renewalInfo"
    REVOKE = "revokeCert"
    OTHER = "other"


_PATHS = {
    "/dir": Step.DIRECTORY,
    "/nonce-plz": Step.NEW_NONCE,
    "/sign-me-up": Step.NEW_ACCOUNT,
    "/order-plz": Step.NEW_ORDER,
    "/authZ/": Step.AUTHORIZATION,
    "/chalZ/": Step.CHALLENGE,
    "/finalize-order/": Step.FINALIZE,
    "/my-order/": Step.ORDER,
    "/certZ/": Step.CERTIFICATE,
    "/revoke-cert": Step.REVOKE,
}
#: What a client has been answered just before it asks for a step for the first time.
_BEFORE = {
    Step.NEW_NONCE: Step.DIRECTORY,
    Step.NEW_ORDER: Step.NEW_NONCE,
    Step.AUTHORIZATION: Step.NEW_ORDER,
    Step.CHALLENGE: Step.AUTHORIZATION,
    Step.FINALIZE: Step.AUTHORIZATION,
    Step.ORDER: Step.FINALIZE,
    Step.CERTIFICATE: Step.ORDER,
}


def step_of(path: str) -> Step:
    if "renewalInfo" in path:
        return Step.RENEWAL_INFO
    return next((step for start, step in _PATHS.items() if path.startswith(start)), Step.OTHER)


@dataclass(frozen=True)
class Answer:
    """A response, as it came from the CA or as a fault makes it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class Exchange:
    """One request on its way through the proxy: what a fault may do with it."""

    proxy: Proxy
    step: Step
    method: str
    body: bytes
    forward: Callable[[], Answer]  #: has the CA do what is asked
    reply: Callable[[Answer], None]  #: tells the client
    socket: ssl.SSLSocket  #: for a fault that does not even speak HTTP


@dataclass(frozen=True)
class Kind:
    """A way to err: `act` in place of an answer, `connect` in place of TLS, or nobody there at all."""

    name: str
    act: Callable[[Exchange], None] | None = None
    connect: Callable[[Proxy, socket.socket], None] | None = None
    refuses: bool = False  #: from this step on nobody listens

    @override
    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Fault:
    """One kind of error at one step, the first `times` times; None is for ever."""

    kind: Kind
    step: Step
    times: int | None = None
    first: int = 0  #: how many requests of that step go well before

    @override
    def __str__(self) -> str:
        return f"{self.kind} at {self.step}"


@dataclass(frozen=True)
class Asked:
    """One request that has arrived."""

    step: Step
    method: str
    path: str
    at: float  #: of time.time()
    faulty: bool


@dataclass
class Proxy:
    """Listens in the lab's network while its `with` block runs."""

    lab: Lab
    faults: tuple[Fault, ...]
    authority: Authority = field(default_factory=Authority)
    asked: list[Asked] = field(default_factory=list)
    #: The last request to finalize an order: faults that sign something else take the key from it.
    finalized: bytes = b""
    #: How many nonces were judged, and how much of a huge body was taken.
    nonces: int = 0
    #: How many orders the CA has made, and which.
    orders: int = 0
    ledger: Orders = field(default_factory=Orders)
    sent: int = 0
    port: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    _met: dict[Fault, int] = field(default_factory=dict)
    _armed: set[Step] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def before(cls, lab: Lab, *faults: Fault, authority: Authority | None = None) -> Self:
        return cls(lab, faults, authority or Authority())

    @property
    def directory_url(self) -> str:
        return f"https://{GATEWAY}:{self.port}/dir"

    @property
    def https_root_pem(self) -> str:
        """What the proxy's own HTTPS is checked with."""
        return pem_of(self.authority.root)

    def url(self, path: str) -> str:
        """A URL of the CA as the proxy's clients know it."""
        return f"https://{GATEWAY}:{self.port}{path}"

    def count(self, step: Step) -> int:
        """How often a step was asked for."""
        with self._lock:
            return sum(one.step is step for one in self.asked)

    def __enter__(self) -> Self:
        self.upstream = ssl.create_default_context(cafile=str(self.lab.ca.https_root))
        self.context = self.server_context(self.authority.issue(GATEWAY))
        self.lab.call(self._listen)
        self._arm({Step.DIRECTORY})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._close()

    def _listen(self) -> None:
        """Begins to serve, from a thread in the lab's network: those that it starts are there too."""
        server = _Server((GATEWAY, self.port), _Handler)
        server.proxy = self
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="fault-proxy", daemon=True)
        thread.start()

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join(20)

        self._close = close

    def server_context(self, issued: Issued) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "https.pem"
            path.touch(mode=0o600)
            path.write_text(issued.private_key + issued.certificate + issued.chain, encoding="ascii")
            context.load_cert_chain(path)
        return context

    def fault_of(self, step: Step) -> Fault | None:
        """The fault that this request meets, which counts as met."""
        with self._lock:
            for fault in self.faults:
                if fault.step is step and fault.kind.act and self._meets(fault):
                    return fault
        return None

    def connection_fault(self) -> Fault | None:
        """The fault that this connection meets: its step is what the client asks for next."""
        with self._lock:
            for fault in self.faults:
                if fault.kind.connect and fault.step in self._armed and self._meets(fault):
                    return fault
        return None

    def _meets(self, fault: Fault) -> bool:
        met = self._met.get(fault, 0)
        self._met[fault] = met + 1
        return met >= fault.first and (fault.times is None or met < fault.first + fault.times)

    def note(self, asked: Asked) -> None:
        with self._lock:
            self.asked.append(asked)

    def answered(self, step: Step, answer: Answer) -> None:
        """Arms the faults of the steps that a client goes on to."""
        proved = b'"status": "valid"' in answer.body
        with self._lock:
            self.orders += step is Step.NEW_ORDER and answer.status == 201
        then = {after for after, before in _BEFORE.items() if before is step}
        self._arm(then if proved else then - {Step.FINALIZE})

    def _arm(self, steps: set[Step]) -> None:
        with self._lock:
            self._armed |= steps
        if any(fault.kind.refuses and fault.step in steps for fault in self.faults):
            self._close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    proxy: Proxy

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 300

    @override
    def setup(self) -> None:
        proxy = self.server.proxy
        fault = proxy.connection_fault()
        if fault is not None and fault.kind.connect:
            fault.kind.connect(proxy, self.request)
        self.request = proxy.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def _exchange(self) -> None:
        proxy, step = self.server.proxy, step_of(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if step is Step.FINALIZE:
            proxy.finalized = body
        fault = proxy.fault_of(step)
        proxy.note(Asked(step, self.command, self.path, time.time(), fault is not None))
        self.close_connection = True

        def forward() -> Answer:
            answer = self._forwarded(body)
            proxy.answered(step, answer)
            if step is Step.NEW_ORDER:
                proxy.ledger.ordered(body, answer)
            elif step is Step.FINALIZE:
                proxy.ledger.finalized(self.path, body, answer)
            return answer

        exchange = Exchange(proxy, step, self.command, body, forward, self._reply, self.request)
        if fault is None or fault.kind.act is None:
            self._reply(forward())
        else:
            fault.kind.act(exchange)

    do_GET = do_POST = do_HEAD = _exchange  # noqa: N815 -- the names that http.server calls

    def _forwarded(self, body: bytes) -> Answer:
        proxy = self.server.proxy
        host, port = re.match(r"https://([^:/]+):([0-9]+)/", proxy.lab.ca.directory_url).groups()  # type: ignore[union-attr]
        connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=proxy.upstream)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            return Answer(response.status, tuple(response.getheaders()), response.read())
        finally:
            connection.close()

    def _reply(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was asked is in `asked`."""

    @override
    def finish(self) -> None:
        with self.request, suppress(OSError, ValueError):  # what TLS was put around is not the server's
            super().finish()
