"""A deploy as the action plugin sends it, straight to a host of the lab: fast enough for every fault."""

from __future__ import annotations

import os
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import carrier
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.authority import Authority, Issued

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.fleet import Site
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

FAILPOINT = "/run/notafter-failpoint"
#: There while the host program waits at a failpoint; taken away, it goes on.
HELD = f"{FAILPOINT}.held"
WITH_LEAF = ("leaf", "fullchain", "combined")


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Signs what the tests deploy."""
    return Authority()


class Target:
    """One site of the small lab on its host: deploy to it, look at it."""

    def __init__(self, lab: Lab, key: str, authority: Authority) -> None:
        self.lab = lab
        self.site: Site = lab.site(key)
        self.host: LabHost = lab.hosts[self.site.hosts[0]]
        self._authority = authority

    def issue(self) -> Issued:
        """A new certificate for the site."""
        return self._authority.issue(*self.site.names, key_type=str(self.site.key_type))

    def wish(self, **changes: Any) -> dict[str, Any]:
        """The deployment of the site, as the plan has it."""
        return {
            "id": f"dep-{self.site.key}",
            "certificate": self.site.key,
            "service": str(self.site.service),
            "names": list(self.site.names),
            "listeners": [f"*:{self.site.port}"],
            "files": [{"path": file.path, "kind": file.kind, "sha256": None} for file in self.site.files],
            "bundle": self.site.key,
            **changes,
        }

    def request(self, issued: Issued, **changes: Any) -> dict[str, Any]:
        """A request that deploys this certificate."""
        return {
            "op": "deploy",
            "check": False,
            "deployments": [self.wish()],
            "bundles": {self.site.key: issued.bundle()},
            "verify_seconds": 4,
            "lock_seconds": 20,
            **changes,
        }

    def send(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of the host program."""
        return send(self.host, request)

    def deploy(self, issued: Issued, **changes: Any) -> dict[str, Any]:
        """The outcome of deploying this certificate here."""
        answer = self.send(self.request(issued, **changes))
        outcome: dict[str, Any] = answer["deployments"][0]
        return outcome

    def served(self) -> str:
        """The fingerprint that a client gets now."""
        return self.lab.served_site(self.site)

    def bytes_on_disk(self) -> dict[str, str]:
        """The digest of every file of the site."""
        return {file.path: self.host.sha256(file.path) for file in self.site.files}

    def metadata(self) -> str:
        """Owner, mode and ACL of every file of the site."""
        return self.host.run(["getfacl", "-p", *[file.path for file in self.site.files]]).stdout

    def snapshot(self) -> str:
        """All that the file system tells of the site's folders, but not when they were looked at."""
        folders = sorted({file.path.rpartition("/")[0] for file in self.site.files})
        look = (
            "find -P $@ ! -type d -printf '%p %i %n %y %m %U %G %s %T@ %l\\n' | sort; "
            "find $@ -type f -exec sha256sum {} + | sort; getfattr -R -h -d -m - --absolute-names $@ | sort"
        )
        return self.host.run(["sh", "-c", look, "sh", *folders]).stdout

    def path(self, *kinds: str) -> str:
        """The file of one of these kinds."""
        return next(file.path for file in self.site.files if file.kind in kinds)

    @property
    def unit(self) -> str:
        """The systemd unit of its server."""
        return {"nginx": "nginx", "apache": "apache2", "haproxy": "haproxy"}[str(self.site.service)]

    def start_from_cold(self) -> None:
        """What happens when the machine has lost its power and comes back: nothing of the server is left."""
        self.host.run(["systemctl", "kill", "--signal=KILL", self.unit], check=False)
        self.host.run(["systemctl", "reset-failed", self.unit], check=False)
        self.host.run(["systemctl", "restart", self.unit])

    def settled(self) -> bool:
        """Whether a pair that belongs together lies there and serves, and no run has left anything."""
        certificate = x509.load_pem_x509_certificate(self.host.read_bytes(self.path(*WITH_LEAF)))
        key = serialization.load_pem_private_key(self._key(), None)
        if certificate.public_key() != key.public_key() or self.left():
            return False
        try:
            return self.served() == certificate.fingerprint(hashes.SHA256()).hex()
        except OSError:
            return False

    def _key(self) -> bytes:
        text = self.host.read_bytes(self.path("key", "combined"))
        return text[text.index(b"-----BEGIN", max(0, text.index(b"PRIVATE KEY-----") - 30)) :]

    def left(self) -> str:
        """What a run has left that it should not: files beside the site's, open journals, failpoints."""
        folders = sorted({file.path.rpartition("/")[0] for file in self.site.files})
        look = (
            "find $@ -name '*.notafter-*'; ls -d /run/notafter-failpoint* /var/lib/notafter/check-*;"
            """grep -L '"step": "\\(committed\\|restored\\)"' /var/lib/notafter/transactions/*/journal.json"""
        )
        return self.host.run(["sh", "-c", look, "sh", *folders], check=False).stdout

    def fail_at(self, point: str, action: str = "kill") -> None:
        """Makes the next run of the host program fail there, once."""
        self.host.write(FAILPOINT, f"{point}:{action}")


def send(host: LabHost, request: dict[str, Any]) -> dict[str, Any]:
    """Runs a request on a host, as the carrier does; raises HostProgramError where there is no answer."""
    command = ["/usr/bin/python3", "-I", "-S", "-B", "-"]
    done = host.run(command, input=carrier.payload(request).decode(), check=False, timeout=180)
    return carrier.parse(done.returncode, done.stdout, done.stderr)


#: The site of each kind of server.
SITES = {"nginx": "www", "apache": "wiki", "haproxy": "edge"}
#: Set by `make torture`: every row with every kind of server, at every point.
WHOLE = "NOTAFTER_WHOLE_MATRIX" in os.environ


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of `drawn` runs with one kind of server, by its name; with all three in `make torture`."""
    if "drawn" in metafunc.fixturenames:
        kinds = list(SITES)
        chosen = [kinds[zlib.crc32(metafunc.function.__name__.encode()) % len(kinds)]]
        metafunc.parametrize("drawn", kinds if WHOLE else chosen, indirect=True)


@pytest.fixture
def drawn(request: pytest.FixtureRequest, small_lab: Lab, authority: Authority) -> Iterator[Target]:
    """One site of one kind of server, or of each in turn; as `target`."""
    yield from _settled(Target(small_lab, SITES[request.param], authority))


@pytest.fixture(params=list(SITES.values()), ids=list(SITES))
def target(request: pytest.FixtureRequest, small_lab: Lab, authority: Authority) -> Iterator[Target]:
    """One site of each kind of server, serving a certificate that lies on its disk before and after."""
    yield from _settled(Target(small_lab, request.param, authority))


@pytest.fixture
def nginx(small_lab: Lab, authority: Authority) -> Iterator[Target]:
    """The nginx site alone, for what is the same for every kind of server."""
    yield from _settled(Target(small_lab, "www", authority))


def _settled(one: Target) -> Iterator[Target]:
    one.host.run(["rm", "-f", FAILPOINT])
    if not one.settled():
        outcome = one.deploy(one.issue())
        assert outcome["state"] == "deployed", outcome
    yield one
    one.host.run(["rm", "-f", FAILPOINT])
    if not one.settled():
        one.send(one.request(one.issue()))


def wait_for_death(host: LabHost, seconds: float = 10) -> None:
    """Waits until no host program runs on a host."""
    host.wait_until(lambda: not host.pids("python3"), "the host program goes on", seconds)
    time.sleep(0.05)
