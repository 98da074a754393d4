"""What a scan of a fleet costs, beside `ansible all -m ping`: same hosts, same forks, warm, in one run.

Prints `ratio N.NN` of wall time and of CPU time (Ansible, ssh and all that the hosts do for it), the
medians of runs in turn, and what each further virtual host costs.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
from functools import partial
from typing import TYPE_CHECKING

from tests import by_hand
from tests.authority import Authority
from tests.bench.issue import Cost, cost
from tests.bench.vhosts import write
from tests.lab.fleet import Fleet, Host, Service
from tests.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

Work = dict[str, "Callable[[], object]"]
#: Python as it comes: whoever runs the same again reads byte code and does not make it anew.
PYTHON = {"PYTHONDONTWRITEBYTECODE": ""}


def fleet(hosts: int) -> Fleet:
    """Hosts with nginx."""
    return Fleet("bench-scan", tuple(Host(f"web{number:02}", (Service.NGINX,)) for number in range(hosts)))


def furnish(lab: Lab, vhosts: int) -> None:
    """Gives every host virtual hosts with certificates of its own, and has them served."""
    authority = Authority()
    for host in lab.fleet.hosts:
        write(lab.hosts[host.name], "nginx", authority, vhosts)
        lab.hosts[host.name].run(["systemctl", "reload", "nginx"])


def ping(lab: Lab, forks: int) -> None:
    """What everybody measures Ansible by."""
    program = by_hand.TREE / ".venv" / "bin" / "ansible"
    env = {
        "ANSIBLE_CONFIG": str(by_hand.TREE / "ansible.cfg"),
        "ANSIBLE_HOME": str(lab.folder / "ansible"),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        **PYTHON,
    }
    lab.run([str(program), "-i", str(lab.inventory), "all", "-m", "ping", "-f", str(forks)], env=env)


def scan(lab: Lab, forks: int, *options: str) -> None:
    """The playbook; fails unless every host was scanned."""
    arguments = ["-i", str(lab.inventory), "--forks", str(forks), *options]
    done = by_hand.playbook(lab, "scan", arguments, extra=PYTHON)
    scanned = re.findall(r"^\S+\s+: ok=[1-9] .*unreachable=0 .*failed=0", done.stdout, re.MULTILINE)
    if len(scanned) != len(lab.fleet.hosts):
        raise SystemExit(f"only {len(scanned)} hosts were scanned:\n{done.stdout[-4000:]}")


def medians(lab: Lab, works: Work, rounds: int) -> dict[str, Cost]:
    """The median of each work's costs, the works in turn, after one round that only warms."""
    found: dict[str, list[Cost]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            taken = cost(lab, work)
            if number:
                found[name].append(taken)
    return {
        name: Cost(statistics.median(one.wall for one in costs), statistics.median(one.cpu for one in costs))
        for name, costs in found.items()
    }


def leave_only(lab: Lab, kept: int) -> None:
    """Takes all but the first virtual hosts out of the configuration of every host."""
    script = "ls /etc/nginx/sites-enabled/bench-* | tail -n +$(($1 + 1)) | xargs rm && systemctl reload nginx"
    for host in lab.fleet.hosts:
        lab.hosts[host.name].run(["sh", "-c", script, "sh", str(kept)])


def print_ratio(lab: Lab, forks: int, rounds: int, vhosts: int) -> None:
    """Measures the fleet as it is, then with a tenth of its virtual hosts."""
    files_only = ("-e", "scan_handshakes=false")
    works: Work = {
        "ansible all -m ping": partial(ping, lab, forks),
        "playbooks/scan.yml": partial(scan, lab, forks, *files_only),
        "  with handshakes": partial(scan, lab, forks),
    }
    found = medians(lab, works, rounds)
    theirs, ours, looked = found.values()
    for name, taken in found.items():
        print(f"{name:24} {taken.wall:7.2f} s wall  {taken.cpu:7.2f} s CPU")
    fewer = max(1, vhosts // 10)
    leave_only(lab, fewer)
    small = medians(lab, {"fewer": partial(scan, lab, forks, *files_only)}, rounds)["fewer"]
    further = (vhosts - fewer) * len(lab.fleet.hosts)
    print(f"with {fewer} virtual hosts     {small.wall:7.2f} s wall  {small.cpu:7.2f} s CPU")
    print(
        f"each further virtual host {(ours.wall - small.wall) / further * 1000:.2f} ms wall"
        f"  {(ours.cpu - small.cpu) / further * 1000:.2f} ms CPU"
    )
    print(f"ratio {looked.cpu / theirs.cpu:.2f} of CPU with handshakes")
    print(f"ratio {looked.wall / theirs.wall:.2f} with handshakes")
    print(f"ratio {ours.cpu / theirs.cpu:.2f} of CPU")
    print(f"ratio {ours.wall / theirs.wall:.2f}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=40)
    parser.add_argument("--vhosts", type=int, default=100)
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    wish = parser.parse_args()
    with Lab.up("bench-scan", fleet(wish.hosts), patience=180) as lab:
        furnish(lab, wish.vhosts)
        print(f"{wish.hosts} hosts with {wish.vhosts} virtual hosts each, {wish.forks} forks, warm")
        print_ratio(lab, wish.forks, wish.rounds, wish.vhosts)


if __name__ == "__main__":
    main()
