"""What it costs to issue through the playbook, beside bare acme.sh: as many certificates, in one run.

Prints `ratio N.NN` of wall time and of CPU time (Ansible, ssh, acme.sh and the CA; not what else the
machine does).
Bare acme.sh gets a private home for each certificate as well: sharing one fails half of the time.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import by_hand
from tests.lab.fleet import Fleet, Host, Site
from tests.lab.lab import Lab
from tests.lab.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

BARE = r"""
set -eu
home=$(mktemp -d)
cp -r /root/bench/ca /root/bench/account.conf "$home/"
/usr/share/acme.sh/acme.sh --issue --domain "$1" --dns dns_knot --dnssleep 0 --keylength ec-256 \
  --cert-profile default --server "$2" --home /usr/share/acme.sh --config-home "$home" \
  --cert-home "$home/certificates" --ca-bundle /root/bench/root.pem >"$home/output" 2>&1
test -s "$home/certificates/$1_ecc/fullchain.cer"
"""
REGISTER = """
/usr/share/acme.sh/acme.sh --register-account --server "$1" --home /usr/share/acme.sh \
  --config-home /root/bench --ca-bundle /root/bench/root.pem
"""


@dataclass(frozen=True)
class Cost:
    """What a piece of work took: wall and CPU seconds."""

    wall: float
    cpu: float


def busy(lab: Lab) -> float:
    """CPU seconds of the lab's processes (its cgroup) and of the programs that we started and waited for."""
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    stat = (State(lab.name).cgroup / "cpu.stat").read_text(encoding="ascii")
    return ours.ru_utime + ours.ru_stime + int(stat.split()[1]) / 1e6


def cost(lab: Lab, work: Callable[[], object]) -> Cost:
    """What a piece of work takes."""
    wall, cpu = time.monotonic(), busy(lab)
    work()
    return Cost(time.monotonic() - wall, busy(lab) - cpu)


def bare(lab: Lab, names: list[str], parallel: int) -> None:
    """Issues the names by acme.sh alone, on the issuer."""
    issuer = lab.hosts["issuer"]
    issuer.write("/root/bench/names", "\n".join(names) + "\n")
    command = ["xargs", "-a", "/root/bench/names", "-P", str(parallel), "-I{}"]
    issuer.run([*command, "sh", "/root/bench/issue", "{}", lab.ca.directory_url], timeout=1800)


def prepare_bare(lab: Lab) -> None:
    """Registers the account that all bare runs share."""
    issuer = lab.hosts["issuer"]
    issuer.run(["mkdir", "-p", "/root/bench"])
    issuer.write("/root/bench/root.pem", lab.ca.https_root.read_text(encoding="ascii"))
    issuer.write("/root/bench/issue", BARE)
    issuer.run(["sh", "-c", REGISTER, "register", lab.ca.directory_url])
    lines = [f"{name}='{value}'\n" for name, value in lab.dns.variables.items()]
    issuer.write("/root/bench/account.conf", "".join(lines))


def sites(names: list[str]) -> list[Site]:
    """The names as certificates without a place to serve."""
    return [Site(key=name.partition(".")[0], names=(name,), hosts=()) for name in names]


def main() -> None:
    """Measures, alternating, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificates", type=int, default=40)
    parser.add_argument("--parallel", type=int, default=8)
    wish = parser.parse_args()
    fleet = Fleet("issuer-only", (Host("issuer", issuer=True),))
    with Lab.up("bench-issue", fleet) as lab, tempfile.TemporaryDirectory() as folder:
        by_hand.playbook(
            lab, "prepare", ["-i", str(lab.inventory), "-e", f"acme_sh_package={lab.acme_sh_package}"]
        )
        prepare_bare(lab)
        first = [f"ours{number:02}.lab.test" for number in range(wish.certificates)]
        second = [f"bare{number:02}.lab.test" for number in range(wish.certificates)]
        warm = by_hand.write(lab, sites(["warm.lab.test"]), Path(folder) / "warm")
        by_hand.playbook(lab, "issue", warm)
        arguments = by_hand.write(lab, sites(first), Path(folder) / "ours")
        theirs = cost(lab, lambda: bare(lab, second, wish.parallel))
        ours = cost(
            lab,
            lambda: by_hand.playbook(lab, "issue", [*arguments, "--forks", str(wish.parallel)], timeout=1800),
        )
    print(f"{wish.certificates} certificates, {wish.parallel} at once")
    print(f"acme.sh alone       {theirs.wall:7.1f} s wall  {theirs.cpu:7.1f} s CPU")
    print(f"playbooks/issue.yml {ours.wall:7.1f} s wall  {ours.cpu:7.1f} s CPU")
    print(f"ratio {ours.cpu / theirs.cpu:.2f} of CPU")
    print(f"ratio {ours.wall / theirs.wall:.2f}")


if __name__ == "__main__":
    main()
