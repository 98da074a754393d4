"""Goal J: pebble's own bad habits in every pair of combinations, and what an attempt makes of each."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.lab.image import install
from tests.lab.lab import Lab
from tests.lab.proxy import Proxy
from tests.torture.attempt import Attempt, Issuer
from tests.torture.faults import FLEET
from tests.torture.scoreboard import Block

if TYPE_CHECKING:
    from collections.abc import Iterator

#: PEBBLE_WFE_NONCEREJECT and its like; `strict` is pebble's flag.
FACTORS: dict[str, tuple[int, ...]] = {
    "nonces refused %": (0, 50, 90),
    "authorizations reused %": (0, 100),
    "seconds to validate": (0, 15),
    "intermediates": (1, 3),
    "alternate roots": (0, 2),
    "strict": (0, 1),
}
#: How many requests an attempt may make, by the share of refused nonces.
BUDGET = {0: 40, 50: 120, 90: 500}
_OVERRIDE = "/run/systemd/system/pebble.service.d/torture.conf"

Row = tuple[int, ...]


def rows() -> list[Row]:
    """Few rows in which every pair of values of two factors stands (pairwise testing)."""
    left = {pair for row in product(*FACTORS.values()) for pair in _pairs(row)}
    chosen = []
    while left:
        best = max(product(*FACTORS.values()), key=lambda row: len(left & set(_pairs(row))))
        left -= set(_pairs(best))
        chosen.append(best)
    return chosen


def _pairs(row: Row) -> Iterator[tuple[tuple[int, int], ...]]:
    return combinations(enumerate(row), 2)


def configure(lab: Lab, row: Row) -> None:
    """Starts the CA anew with these habits; it forgets every account."""
    nonces, reuse, sleep, intermediates, roots, strict = row
    environment = (
        f"PEBBLE_WFE_NONCEREJECT={nonces} PEBBLE_AUTHZREUSE={reuse} PEBBLE_CHAIN_LENGTH={intermediates} "
        f"PEBBLE_ALTERNATE_ROOTS={roots} PEBBLE_VA_NOSLEEP={0 if sleep else 1} PEBBLE_VA_SLEEPTIME={sleep}"
    )
    flags = f"-config /etc/pebble/pebble.json -dnsserver {lab.dns.address}:53 -strict={bool(strict)}".lower()
    lab.hosts["ca"].write(
        _OVERRIDE,
        f"[Service]\nEnvironment={environment}\nExecStart=\nExecStart=/usr/bin/pebble {flags}\n",
    )
    lab.hosts["ca"].run(["systemctl", "daemon-reload"])
    lab.ca.stop()
    lab.ca.start()


def judge(issuer: Issuer, row: Row, folder: Path) -> tuple[str, int, list[str]]:
    """How an attempt of a new account ended, how many requests it made, and what is wrong with that."""
    root = folder / "root.pem"
    root.write_text(issuer.lab.ca.issuing_root_pem(), encoding="ascii")
    with Proxy.before(issuer.lab) as proxy:
        ended = Attempt(issuer, 300, {"ca": {"root": str(root)}}).run(proxy)
        requests, orders = len(proxy.asked), proxy.orders
    right = {"signed", "ca_unavailable"} if row[0] == 90 else {"signed"}
    wrong = [] if ended.outcome in right else [str(ended.result.get("failure"))]
    wrong += [f"{requests} requests"] if requests > BUDGET[row[0]] else []
    wrong += [f"{orders} orders"] if orders > 1 else []
    issuers = ended.result.get("certificate", {}).get("chain_pem", "").count("BEGIN CERTIFICATE")
    if ended.outcome == "signed" and issuers != row[3]:
        wrong.append(f"{issuers} issuers came along instead of {row[3]}")
    return ended.outcome, requests, wrong


def main() -> Block:
    """Prints every row; how many ended otherwise than they must, and the figures."""
    install(say=lambda _: None)
    bad = most = 0
    with Lab.up("torture-pebble", FLEET) as lab, TemporaryDirectory() as folder:
        first = Issuer.on(lab)
        for row in rows():
            configure(lab, row)
            outcome, requests, wrong = judge(Issuer(lab, first.account_key), row, Path(folder))
            told = ", ".join(f"{name} {value}" for name, value in zip(FACTORS, row, strict=True))
            print(f"{told}: {outcome}, {requests} requests  {'; '.join(wrong) or 'as it must'}", flush=True)
            bad += bool(wrong)
            most = max(most, requests)
    return Block("habits of the CA, by pairs", bad, [f"{len(rows())} attempts, at most {most} requests"])
