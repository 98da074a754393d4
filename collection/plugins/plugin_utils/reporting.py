# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a run by hand the control plane is told, and how it gets there: documented results, no secret."""

from __future__ import annotations

import ipaddress
import json
import os
import stat
import time
import typing as t
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible.errors import AnsibleError
from ansible.module_utils.urls import open_url

#: The modules whose results are told, each with what is documented of them.
MODULES: dict[str, tuple[str, ...]] = {
    "notafter.tls.certificate_scan_info": (
        "server",
        "bindings",
        "certificates",
        "chains",
        "unresolved",
        "left_out",
        "page",
        "skipped",
        "msg",
    ),
    "notafter.tls.certificate_deploy": ("deployments", "recovered", "changed", "skipped", "msg"),
    "notafter.tls.certificate_probe_info": ("endpoints", "discovery", "skipped", "msg"),
}
#: A little less than the largest body that the control plane reads.
MOST_BYTES = 1000 * 1024
_MOST_OUTCOMES = 500
_NOT_A_SECRET = "PRIVATE KEY-----"  # noqa: S105 - it is what must not be there
_MARK = "NOTAFTER_RUN"


class NotReported(AnsibleError):
    """What was to be told could not be told."""


def in_a_job() -> bool:
    """Whether the control plane itself has started this process."""
    return _MARK in os.environ


def part(result: t.Any, name: str) -> t.Any:
    """The task, host or result of what a callback is given; ansible-core 2.19 names them anew."""
    found = getattr(result, name, None)
    return found if found is not None else getattr(result, f"_{name}")


def results(result: t.Any) -> list[t.Mapping[str, t.Any]]:
    """The results of a task: one, or one for each turn of its loop; a censored one is none."""
    several = result.get("results") if "results" in result else None
    rows = several if isinstance(several, list) else [result]
    return [one for one in rows if isinstance(one, dict) and "censored" not in one and not one.get("skipped")]


def documented(module: str, result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is documented of a result, and nothing that Ansible or anybody has added."""
    return {key: result[key] for key in MODULES[module] if key in result}


def line(outcome: dict[str, t.Any]) -> str:
    """One outcome as one line of JSON."""
    text = json.dumps(outcome, default=str, ensure_ascii=False)
    if _NOT_A_SECRET in text:
        raise NotReported(f"{outcome['host']}: there is a private key in the result; it is not sent")
    return text.encode("utf-8", "replace").decode("utf-8") + "\n"


class Desk:
    """The control plane as a run by hand reaches it."""

    def __init__(
        self, url: str | None, token_file: str | None, ca_bundle: str | None, seconds: float
    ) -> None:
        self.url = _fit(url)
        self._token = _token(token_file)
        self._ca = ca_bundle
        if ca_bundle is not None and not Path(ca_bundle).is_file():
            raise NotReported(f"there is no CA bundle {ca_bundle}: set NOTAFTER_REPORT_CA_BUNDLE")
        self._deadline = time.monotonic() + seconds

    def send(self, run: str, playbook: str | None, lines: t.Iterable[str]) -> str:
        """Sends outcomes in as few requests as their size allows; returns what became of them."""
        recorded, left, large = 0, [], 0
        for batch in _batches(lines):
            if batch is None:
                large += 1
                continue
            receipt = self._post(
                f'{{"run": "{run}", "playbook": {json.dumps(playbook)}, "outcomes": [{batch}]}}'
            )
            recorded += int(receipt.get("recorded") or 0)
            left += [str(one.get("reason")) for one in receipt.get("left") or ()]
        told = f"{recorded} results put on record at {self.url}"
        if large:
            told += f"; {large} are too large to be sent"
        if left:
            told += f"; {len(left)} were not taken: {'; '.join(dict.fromkeys(left))[:500]}"
        return told

    def _post(self, body: str) -> dict[str, t.Any]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise NotReported(f"{self.url} takes too long: not all was sent")
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            with open_url(
                f"{self.url}/api/v1/runs",
                method="POST",
                data=body.encode(),
                headers=headers,
                timeout=max(1, int(min(left, 30))),
                ca_path=self._ca,
                follow_redirects="none",
            ) as answer:
                found = json.load(answer)
                return found if isinstance(found, dict) else {}
        except HTTPError as error:
            raise NotReported(f"{self.url} refused it: {error.code} {_detail(error)}") from error
        except (URLError, OSError, ValueError) as error:
            raise NotReported(f"{self.url} cannot be told: {error}") from error


def _batches(lines: t.Iterable[str]) -> t.Iterator[str | None]:
    """The outcomes of several lines as the inside of a JSON list; None for one that is too large."""
    batch: list[str] = []
    size = 0
    for text in lines:
        length = len(text.encode())
        if length > MOST_BYTES:
            yield None
            continue
        if batch and (size + length > MOST_BYTES or len(batch) >= _MOST_OUTCOMES):
            yield ",".join(batch)
            batch, size = [], 0
        batch.append(text.rstrip("\n"))
        size += length
    if batch:
        yield ",".join(batch)


def _fit(url: str | None) -> str:
    if not url:
        raise NotReported("no control plane is named: set NOTAFTER_REPORT_URL")
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise NotReported(f"{parts.scheme}://{parts.hostname} would show the token to others: use https")
    if parts.username or parts.password or parts.query:
        raise NotReported("the control plane's address has more in it than a host, a port and a path")
    return url.rstrip("/")


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _token(path: str | None) -> str:
    if not path:
        raise NotReported("no token is named: set NOTAFTER_REPORT_TOKEN_FILE")
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise NotReported(f"the token cannot be read: {error}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NotReported(f"{path} can be read by others: chmod 0600 {path}")
    if not token or not token.isprintable() or " " in token:
        raise NotReported(f"{path} has no token in it: `notafter token create --name ME > {path}`")
    return token


def _detail(error: HTTPError) -> str:
    try:
        found = json.loads(error.read(10_000))
        return str(found.get("detail"))[:300]
    except (OSError, ValueError, AttributeError):
        return str(error.reason)
