"""The serving process: workers, clockwork and API, started together and stopped in order."""

import contextlib
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn

from notafter.api import application
from notafter.api.service import Service
from notafter.app.rooms import Rooms, clock, rooms
from notafter.domain.errors import RunnerError, SettingsError
from notafter.lifecycle import recovery, scheduler, user
from notafter.lifecycle.audit import Ledger
from notafter.lifecycle.recovery import Watch
from notafter.lifecycle.scheduler import Pulse
from notafter.lifecycle.work import Worker
from notafter.runner import run
from notafter.runner.run import Workshop
from notafter.settings import Settings

log = structlog.get_logger(__name__)

_IDLE_SECONDS = 1.0
_STOP_SECONDS = 30.0


def serve(settings: Settings) -> None:
    """Run everything until somebody says stop."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold keys
    with _listening(settings) as sock, rooms(settings) as opened:
        _check_project(opened.workshop)
        _greet(opened)
        recovery.recover(opened.database, opened.workshop, frozenset(), clock(), Watch())
        _Process(opened, sock).run()


def _greet(opened: Rooms) -> None:
    """Make the first admin, whose password is said this once: on standard output, never in the log."""
    password = user.first_admin(opened.database, Ledger(opened.custodian), clock())
    if password is None:
        return
    told = f"first start: log in as {user.FIRST!r} with {password.text} and set a password of your own"
    print(f"notafter: {told}", flush=True)  # noqa: T201 -- shown once, to who starts it


class _Process:
    """The threads of a serving process, and how they end: no new work, then the API last."""

    def __init__(self, opened: Rooms, sock: socket.socket) -> None:
        self.opened = opened
        self.sock = sock
        self.asked = threading.Event()
        self.stop_claiming = threading.Event()
        self.cancel = threading.Event()
        self.wake = threading.Event()
        self.roster: set[str] = set()
        self.pulse = Pulse()
        reach = opened.settings.reach
        self.service = Service(
            opened.database, opened.custodian, clock, self.wake.set, self.pulse, reach=reach
        )
        config = uvicorn.Config(
            application.served(self.service),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
            proxy_headers=True,
            forwarded_allow_ips=opened.settings.trusted_proxies,
        )
        self.server = uvicorn.Server(config)

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        settings = self.opened.settings
        web = threading.Thread(target=self.server.run, kwargs={"sockets": [self.sock]}, name="api")
        web.start()
        workers = [threading.Thread(target=self._work, name=f"worker-{n}") for n in range(settings.workers)]
        for thread in workers:
            thread.start()
        clockwork = scheduler.start(
            self.opened.database,
            self.opened.workshop,
            self.roster,
            clock,
            self.opened.limits,
            settings.tick_seconds,
            self.pulse,
            settings.reach,
        )
        log.info("serving", address=settings.host, port=settings.port)
        while not self.asked.wait(1.0) and web.is_alive():
            pass
        log.info("stopping")
        self.stop_claiming.set()
        self.wake.set()
        scheduler.rest(clockwork)
        self._drain(workers)
        clockwork.shutdown(wait=False)
        self.service.streams.close()
        self.server.should_exit = True
        web.join(_STOP_SECONDS)
        run.leave(self.opened.workshop)
        log.info("stopped")

    def _drain(self, workers: list[threading.Thread]) -> None:
        """Let running jobs end by themselves for a while; the API still serves them."""
        deadline = clock().timestamp() + self.opened.settings.drain_seconds
        for thread in workers:
            thread.join(max(0.0, deadline - clock().timestamp()))
        self.cancel.set()
        for thread in workers:
            thread.join(_STOP_SECONDS)

    def _work(self) -> None:
        worker = Worker(self.opened.desk, self.opened.workshop, clock, self.cancel, self.roster)
        while not self.stop_claiming.is_set():
            try:
                worked = worker.step()
            except Exception:  # the worker's edge: the next step may fare better
                log.exception("a step broke off")
                worked = False
            if not worked:
                self.wake.wait(min(_IDLE_SECONDS, self.opened.settings.tick_seconds))
                self.wake.clear()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked.set()


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """Take the port first, so that a second instance stops here and touches nothing."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # said to be TCP, or asyncio leaves Nagle's algorithm on, which keeps the last part of an answer for 40 ms
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((settings.host, settings.port))
            sock.listen(128)
        except OSError as error:
            raise SettingsError(
                f"{settings.host} port {settings.port} cannot be used: {error.strerror}."
                " Is another notafter running? Choose another port with NOTAFTER_PORT.",
            ) from error
        yield sock


def _check_project(workshop: Workshop) -> None:
    if not (workshop.project / "playbooks" / "renew.yml").is_file():
        raise RunnerError(
            f"{workshop.project} has no playbooks/renew.yml: set NOTAFTER_PROJECT to the project's folder",
        )
    if workshop.inventory is not None and not workshop.inventory.exists():
        raise RunnerError(f"there is no inventory {workshop.inventory}: set NOTAFTER_INVENTORY")
