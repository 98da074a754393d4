"""Sends the host program to hosts of the lab as the carrier does; their servers judge what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.notafter.tls.plugins.module_utils.host import handshake
from ansible_collections.notafter.tls.plugins.plugin_utils import carrier, certificates

if TYPE_CHECKING:
    from tests.authority import Authority, Issued
    from tests.lab.host import LabHost

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-"]
UNPRIVILEGED = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]


def send(host: LabHost, request: dict[str, Any], prefix: tuple[str, ...] = ()) -> dict[str, Any]:
    """Runs a request on a host; the answer is as it came through the pipe."""
    done = host.run([*prefix, *PYTHON], input=carrier.payload(request).decode(), check=False, timeout=180)
    return carrier.parse(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Scanned:
    """What a scan of one host says, in the contract's form."""

    host: LabHost
    raw: dict[str, Any]
    result: dict[str, Any]

    @property
    def bindings(self) -> list[dict[str, Any]]:
        """All bindings."""
        found: list[dict[str, Any]] = self.result["bindings"]
        return found

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.result["warnings"]]

    def endpoints(self) -> dict[tuple[str, str | None], set[str]]:
        """Each listener and name that the scan claims, with the certificates that may be shown there."""
        claimed: dict[tuple[str, str | None], set[str]] = {}
        for binding in self.bindings:
            names = [name for name in binding["names"] if not name.startswith("~")]
            if binding["certificate"] is None or (binding["names"] and not names):
                continue
            for listener in binding["listeners"]:
                for name in names or [None]:
                    claimed.setdefault((listener, name), set()).add(str(binding["certificate"]))
        return claimed

    def contradicted(self) -> dict[tuple[str, str | None], str]:
        """Where a handshake on the host itself does not show what the scan claims."""
        claimed = self.endpoints()
        asked = [
            {**handshake.listener(listener)._asdict(), "name": name and name.replace("*", "notafter-probe")}
            for listener, name in claimed
        ]
        answers = send(self.host, {"op": "probe", "endpoints": asked})["endpoints"]
        found = {
            place: answer["fingerprint_sha256"] or answer["error"]
            for place, answer in zip(claimed, answers, strict=True)
            if answer["fingerprint_sha256"] not in claimed[place]
        }
        return found or self._mistaken()

    def _mistaken(self) -> dict[tuple[str, str | None], str]:
        """Where all is well and the scan's own handshakes say that it is not.

        Of a pair that no client gets both of, a scan says so and is right.
        """
        claims = self.endpoints()
        return {
            (binding["config_file"], ", ".join(binding["names"])): problem["message"]
            for binding in self.bindings
            for problem in binding["problems"]
            if problem["kind"] in {"not_reloaded", "served_by_another"}
            or (problem["kind"] == "not_served" and all(len(some) == 1 for some in claims.values()))
        }


def scan(host: LabHost, *services: str, prefix: tuple[str, ...] = (), **options: Any) -> Scanned:
    """Scans a host, all its services or those named."""
    raw = send(host, {"op": "scan", "timeout": 60, "services": list(services), **options}, prefix)
    json.dumps(raw, ensure_ascii=False).encode()
    return Scanned(host, raw, certificates.complete(raw, datetime.now(UTC)))


def deploy(host: LabHost, binding: dict[str, Any], issued: Issued, **options: Any) -> dict[str, Any]:
    """The outcome of deploying a certificate to what a scan has found, as it was found."""
    wish = {name: binding[name] for name in ("service", "names", "listeners", "files")}
    request = {
        "op": "deploy",
        "deployments": [{"id": "dep-1", "certificate": "one", "bundle": "one", **wish}],
        "bundles": {"one": issued.bundle()},
        "verify_seconds": 8,
        **options,
    }
    outcome: dict[str, Any] = send(host, request)["deployments"][0]
    return outcome


@dataclass
class Corpus:
    """Certificates below one folder of a host, and files that are put back when the test is over."""

    host: LabHost
    authority: Authority
    folder: str = "/srv/corpus"
    fingerprints: dict[str, str] = field(default_factory=dict)
    _written: dict[str, bytes | None] = field(default_factory=dict)

    def certificates(self, *names: str, key_type: str = "ec-256") -> None:
        """NAME.crt (with its chain), NAME.key and NAME.pem (both) for NAME.test and *.NAME.test."""
        for name in names:
            issued = self.authority.issue(f"{name}.test", f"*.{name}.test", key_type=key_type)
            self.fingerprints[issued.fingerprint] = name
            whole = issued.certificate + issued.chain
            self.host.write(f"{self.folder}/{name}.crt", whole)
            self.host.write(f"{self.folder}/{name}.key", issued.private_key, 0o600)
            self.host.write(f"{self.folder}/{name}.pem", whole + issued.private_key, 0o600)

    def write(self, path: str, content: str) -> None:
        """Writes a file of the configuration; `%C` in it is the folder of the certificates."""
        if path not in self._written:
            self._written[path] = self.host.read_bytes(path) if self.host.exists(path) else None
        self.host.write(path, content.replace("%C", self.folder))

    def named(self, scanned: Scanned) -> list[tuple[str, tuple[str, ...]]]:
        """(certificate, names) of each binding of this corpus."""
        return [
            (self.fingerprints[binding["certificate"]], tuple(binding["names"]))
            for binding in scanned.bindings
            if binding["certificate"] in self.fingerprints
        ]

    def put_back(self) -> None:
        """Everything as it was."""
        for path, content in self._written.items():
            if content is None:
                self.host.run(["rm", "-f", path])
            else:
                self.host.write(path, content)
        self.host.run(["rm", "-rf", self.folder])
