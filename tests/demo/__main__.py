"""Raises the demo fleet, scans, adopts, and shows each renewal as it happens."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from tests.demo.ledger import Ledger
from tests.demo.screen import cycle_table, renewal_line, scan_table
from tests.lab.fleets import DEMO
from tests.lab.lab import Lab
from tests.plane import ENDED, ControlPlane

if TYPE_CHECKING:
    from types import FrameType

LIFE = 240  #: seconds that a certificate lives here; 47 days elsewhere
CYCLES = 2
PATIENCE = 1500  #: seconds after which `--once` gives up
console = Console(
    highlight=False, width=None if sys.stdout.isatty() else 132, soft_wrap=not sys.stdout.isatty()
)


def step(text: str) -> None:
    """Says what is being done."""
    console.print(f"[bold]--[/bold] {text}")


def interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM ends the demo as Ctrl-C does, so that everything is taken down."""
    raise KeyboardInterrupt


def prepare(lab: Lab, plane: ControlPlane, *, publish: bool) -> None:
    """Brings the control plane up and lets it find and adopt the fleet."""
    step("acme.sh on the issuer, by the collection's role")
    plane.prepare_issuer()
    step("an ACME account, a DNS credential, a token; then the control plane")
    plane.set_up()
    token = plane.token
    plane.start()
    if publish:
        lab.publish(plane.port, plane.port)
        console.print(f"   API   http://127.0.0.1:{plane.port}/api/v1/certificates")
        console.print(f"   login Authorization: Bearer {token}")
    step("a scan of every server")
    plane.scan()
    console.print(scan_table(plane.certificates()))
    step("adoption: from here on every certificate renews by itself")
    plane.adopt(lab.sites)


def watch(plane: ControlPlane, ledger: Ledger, cycles: int | None) -> None:
    """Shows renewals until every certificate was renewed `cycles` times; for ever where that is None."""
    deadline = time.monotonic() + PATIENCE
    shown = 0
    while cycles is None or ledger.complete_cycles() < cycles:
        for renewal in ledger.update(plane.jobs(), plane.certificates()):
            console.print(renewal_line(renewal))
        while shown < ledger.complete_cycles():
            shown += 1
            console.print(cycle_table(shown, ledger.cycle(shown)))
        if cycles is not None and time.monotonic() > deadline:
            console.print(f"[red]not all certificates were renewed {cycles} times within {PATIENCE} s[/red]")
            return
        time.sleep(1)


def verified(lab: Lab, plane: ControlPlane) -> tuple[int, int]:
    """How many deployments a fresh handshake shows with the newest certificate, and how many not."""
    good = bad = 0
    for site in lab.sites:
        for host in site.hosts:
            served, newest = lab.served_site(site, host), plane.certificate_of(site)["fingerprint"]
            if served == newest:
                good += 1
                continue
            bad += 1
            console.print(f"[red]{site.key} on {host}: serves {served[:16]}, not {newest[:16]}[/red]")
    return good, bad


def run(*, once: bool) -> bool:
    """The demo from start to end; True when everything was as promised."""
    step(f"a lab of {len(DEMO.hosts) + 1} hosts with {len(DEMO.sites)} certificates that live {LIFE} s")
    with (
        tempfile.TemporaryDirectory(prefix="notafter-demo-") as folder,
        Lab.up("demo", DEMO, initial_validity=LIFE, minutes_validity=LIFE) as lab,
        ControlPlane(lab, Path(folder)) as plane,
    ):
        prepare(lab, plane, publish=not once)
        ledger = Ledger([certificate["key"] for certificate in plane.certificates()])
        step("now the scheduler is at work" + ("" if once else "; Ctrl-C takes everything down"))
        watch(plane, ledger, CYCLES if once else None)
        plane.wait_until(lambda: settled(plane), "the last job does not end", 180)
        for renewal in ledger.update(plane.jobs(), plane.certificates()):
            console.print(renewal_line(renewal))
        good, bad = verified(lab, plane)
        done = ledger.complete_cycles() >= (CYCLES if once else 0) and bad == 0
        summary = {
            "hosts": len(lab.hosts) - 1,
            "certificates": len(lab.sites),
            "renewed": ledger.renewed(),
            "verified": good,
            "failed": bad + ledger.failed(),
        }
        console.print_json(json.dumps(summary), indent=None)
        return done


def settled(plane: ControlPlane) -> bool:
    """Whether no job is open."""
    return all(job["state"] in ENDED for job in plane.jobs())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="two full cycles, then end")
    wish = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    try:
        good = run(once=wish.once)
    except KeyboardInterrupt:
        console.print("\neverything is taken down")
        sys.exit(130 if wish.once else 0)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
