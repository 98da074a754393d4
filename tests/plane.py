"""A control plane in a lab's network: started, asked, killed and started again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests import by_hand
from tests.lab.fleet import Challenge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from tests.lab.fleet import Site
    from tests.lab.lab import Lab

TREE = Path(__file__).parents[1]
ACCOUNT, CREDENTIAL = "lab", "lab"
#: Job states after which nothing more happens.
ENDED = ("succeeded", "failed", "cancelled", "lost")


class PlaneError(Exception):
    """The control plane did not do what it was asked, and what it said."""


class ControlPlane:
    """`notafter serve` in the lab's network, with its data in a folder that outlives it."""

    def __init__(self, lab: Lab, folder: Path, *, port: int = 8443, profile: str = "minutes") -> None:
        self.lab = lab
        self.folder = folder
        self.port = port
        self.profile = profile
        self.log = folder / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._token: str | None = None
        self.environment = {
            "NOTAFTER_DATA_DIR": str(folder / "data"),
            "NOTAFTER_PROJECT": str(TREE),
            "NOTAFTER_INVENTORY": str(lab.inventory),
            "NOTAFTER_PORT": str(port),
            "NOTAFTER_TICK_SECONDS": "1",
            "NOTAFTER_WORKERS": "2",
            "NOTAFTER_CA_NETWORKS": "10.77.0.0/16,127.0.0.0/8",
            "PYTHONPATH": str(TREE / "controlplane"),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.runtime, ignore_errors=True)  # what a killed one had no chance to remove

    @property
    def runtime(self) -> Path:
        """Where its runs have their folders, in memory."""
        data = str((self.folder / "data").resolve())
        return Path(f"/dev/shm/notafter-{os.getuid()}-{hashlib.sha256(data.encode()).hexdigest()[:12]}")

    # -- the process

    def start(self, extra: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        """Starts `notafter serve`; with `wait` returns when it is ready."""
        environment = {**os.environ, **self.environment, **(extra or {})}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.lab.exec_prefix(), sys.executable, "-m", "notafter", "serve"],
                env=environment,
                cwd=TREE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_until(self._ready, "the control plane is not ready", 60)

    def _ready(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise PlaneError(f"the control plane ended with {self.process.returncode}:\n{self.said()}")
        try:
            self.ask("GET", "/readyz", token=None)
        except (OSError, PlaneError):
            return False
        return True

    def stop(self) -> None:
        """SIGTERM, as an init system would; then whatever it takes."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def wait_for_death(self, seconds: float = 60) -> None:
        """Waits until the process has ended by itself (a failpoint)."""
        if self.process is not None:
            self.process.wait(seconds)

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:]

    # -- asking

    def cli(self, *words: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002 - subprocess's name
        """What `notafter WORDS` prints."""
        command = [sys.executable, "-m", "notafter", *words]
        done = self.lab.run(command, env=self.environment, input=input, check=False, timeout=120)
        if check and done.returncode != 0:
            raise PlaneError(
                f"notafter {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done.stdout if check else f"{done.returncode} {done.stdout}{done.stderr}"

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = "own") -> Any:
        """One request to the API, made from inside the lab's network."""
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {self.token if token == 'own' else token}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            headers=headers,
            data=None if body is None else json.dumps(body).encode(),
        )

        def send() -> Any:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - see above
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                raise PlaneError(f"{method} {path}: {error.code} {error.read().decode()}") from error

        return self.lab.call(send)

    @property
    def token(self) -> str:
        """An API token of our own, made at the first need."""
        if self._token is None:
            self._token = self.cli("token", "create", "--name", "tests", "--role", "admin").split()[-1]
        return self._token

    def certificates(self) -> list[dict[str, Any]]:
        """Every certificate with its versions and places."""
        page = self.ask("GET", "/api/v1/certificates?limit=200")
        return [self.ask("GET", f"/api/v1/certificates/{item['id']}") for item in page["items"]]

    def jobs(self) -> list[dict[str, Any]]:
        """Every job with its items, the newest first."""
        page = self.ask("GET", "/api/v1/jobs?limit=200")
        return [self.ask("GET", f"/api/v1/jobs/{item['id']}") for item in page["items"]]

    def certificate_of(self, site: Site) -> dict[str, Any]:
        """The certificate that serves a site."""
        path = site.files[0].path
        for certificate in self.certificates():
            for place in certificate["places"]:
                if place["server"] in site.hosts and place["path"] == path:
                    return certificate
        raise PlaneError(f"no certificate is known for {site.key} ({path})")

    def wait_until(self, condition: Callable[[], bool], complaint: str, seconds: float = 120) -> None:
        """Polls until something holds; else an error with the end of the log."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise PlaneError(f"{complaint} within {seconds:g} s\n{self.said()}")
            time.sleep(0.3)

    # -- what every story begins with

    def set_up(self, directory: str | None = None, bundle: Path | None = None) -> None:
        """Makes the account and the DNS credential; needs no running process.

        The CA is the lab's own, unless another directory and the root of its HTTPS are named.
        """
        words = [
            "account",
            "create",
            "--name",
            ACCOUNT,
            "--directory",
            directory or self.lab.ca.directory_url,
            "--bundle",
            str(bundle or self.lab.ca.https_root),
        ]
        self.cli(*words)
        secrets = "".join(f"{name}={value}\n" for name, value in self.lab.dns.variables.items())
        words = ["dns", "create", "--name", CREDENTIAL, "--provider", self.lab.dns.provider]
        self.cli(*words, "--propagation-seconds", "0", input=secrets)

    def scan(self) -> None:
        """Scans the fleet and waits for the end of it."""
        self.cli("scan", "--no-wait")
        self.wait_until(self._idle, "the scan does not end", 120)

    def _idle(self) -> bool:
        page = self.ask("GET", "/api/v1/jobs?limit=1")
        return bool(page["items"]) and page["items"][0]["state"] in ENDED

    def adopt(self, sites: Iterable[Site]) -> None:
        """Adopts the certificates of these sites, each with the challenge that its owner would choose."""
        for site in sites:
            certificate = self.certificate_of(site)
            words = ["adopt", certificate["key"], "--account", ACCOUNT, "--profile", self.profile]
            words += ["--key-type", str(site.key_type)]
            proof = by_hand.challenge(site)
            words += ["--challenge", proof["type"]]
            if site.challenge is Challenge.DNS_01:
                words += ["--dns", CREDENTIAL]
            else:
                words += ["--mode", proof["mode"]]
                words += ["--webroot", proof["webroot"]] if "webroot" in proof else []
            self.cli(*words)

    def prepare_issuer(self) -> None:
        """Puts acme.sh on the issuer, by the collection's role."""
        package = f"acme_sh_package={self.lab.acme_sh_package}"
        by_hand.playbook(self.lab, "prepare", ["-i", str(self.lab.inventory), "-e", package])
