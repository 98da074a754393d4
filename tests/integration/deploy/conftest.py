"""A deploy as the action plugin sends it, straight to a host of the lab: fast enough for every fault."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import carrier

from tests.authority import Authority, Issued

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.fleet import Site
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

FAILPOINT = "/run/notafter-failpoint"
#: There while the host program waits at a failpoint; taken away, it goes on.
HELD = f"{FAILPOINT}.held"


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

    def fail_at(self, point: str, action: str = "kill") -> None:
        """Makes the next run of the host program fail there, once."""
        self.host.write(FAILPOINT, f"{point}:{action}")


def send(host: LabHost, request: dict[str, Any]) -> dict[str, Any]:
    """Runs a request on a host, as the carrier does; raises HostProgramError where there is no answer."""
    command = ["/usr/bin/python3", "-I", "-S", "-B", "-"]
    done = host.run(command, input=carrier.payload(request).decode(), check=False, timeout=180)
    return carrier.parse(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=["www", "wiki", "edge"], ids=["nginx", "apache", "haproxy"])
def target(request: pytest.FixtureRequest, small_lab: Lab, authority: Authority) -> Iterator[Target]:
    """One site of each kind of server, serving a certificate of the test's own before and after."""
    one = Target(small_lab, request.param, authority)
    one.host.run(["rm", "-f", FAILPOINT])
    outcome = one.deploy(one.issue())
    assert outcome["state"] == "deployed", outcome
    yield one
    one.host.run(["rm", "-f", FAILPOINT])
    one.send(one.request(one.issue()))


@pytest.fixture
def nginx(small_lab: Lab, authority: Authority) -> Iterator[Target]:
    """The nginx site alone, for what is the same for every kind of server."""
    one = Target(small_lab, "www", authority)
    one.host.run(["rm", "-f", FAILPOINT])
    outcome = one.deploy(one.issue())
    assert outcome["state"] == "deployed", outcome
    yield one
    one.host.run(["rm", "-f", FAILPOINT])
    one.send(one.request(one.issue()))


def wait_for_death(host: LabHost, seconds: float = 10) -> None:
    """Waits until no host program runs on a host."""
    host.wait_until(lambda: not host.pids("python3"), "the host program goes on", seconds)
    time.sleep(0.05)
