"""What a handshake costs the prober, beside a loop of `openssl s_client` with the same nginx, in one run.

nginx has a certificate for each of many names; each handshake asks for another one. Prints how many
times less wall time and CPU time of the client the prober takes (aim: 25 times).
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collection.plugins.module_utils.host import handshake, probe
from tests.authority import Authority
from tests.lab.fleet import Fleet, Host, Service
from tests.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.host import LabHost

FOLDER = "/srv/bench"
BLOCK = """server {{
    listen 8443 ssl;
    server_name {name};
    ssl_certificate {at}.crt;
    ssl_certificate_key {at}.key;
}}
"""
WRITE = """
import json, pathlib, sys
for path, text in json.load(sys.stdin).items():
    pathlib.Path(path).parent.mkdir(exist_ok=True)
    pathlib.Path(path).write_text(text)
"""


@dataclass(frozen=True)
class Cost:
    """What a piece of work took the client: wall and CPU seconds."""

    wall: float
    cpu: float


def cost(work: Callable[[], object]) -> Cost:
    """What a piece of work takes this process and the programs that it starts."""
    wall, cpu = time.monotonic(), busy()
    work()
    return Cost(time.monotonic() - wall, busy() - cpu)


def busy() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def serve(host: LabHost, count: int) -> dict[str, str]:
    """Lets nginx serve as many certificates; their fingerprints by name."""
    authority = Authority()
    fingerprints = {}
    files: dict[str, str] = {}
    blocks = []
    for number in range(count):
        name, at = f"n{number}.bench.test", f"{FOLDER}/{number}"
        issued = authority.issue(name)
        fingerprints[name] = issued.fingerprint
        files[f"{at}.crt"] = issued.certificate + issued.chain
        files[f"{at}.key"] = issued.private_key
        blocks.append(BLOCK.format(name=name, at=at))
    files["/etc/nginx/conf.d/bench.conf"] = "server_names_hash_max_size 8192;\n" + "".join(blocks)
    host.run(["python3", "-c", WRITE], input=json.dumps(files), timeout=120)
    host.run(["systemctl", "restart", "nginx"])
    return fingerprints


def ours(address: str, names: list[str]) -> dict[str, Any]:
    """The prober asks for every name."""
    return probe.run({"endpoints": [{"address": address, "port": 8443, "name": name} for name in names]})


def theirs(address: str, names: list[str]) -> list[str]:
    """The loop that an administrator writes; what openssl says of each."""
    program = shutil.which("openssl")
    if program is None:
        sys.exit("openssl is not installed here")
    said = []
    for name in names:
        command = [program, "s_client", "-connect", f"{address}:8443", "-servername", name, "-showcerts"]
        done = subprocess.run(command, input="", capture_output=True, text=True, check=True, timeout=30)
        said.append(done.stdout)
    return said


def main() -> None:
    """Measures, one after the other, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--handshakes", type=int, default=2000)
    parser.add_argument("--certificates", type=int, default=1000)
    parser.add_argument(
        "--loop", type=int, help="handshakes of the loop, if not as many; its cost is per handshake"
    )
    wish = parser.parse_args()
    loop = wish.loop or wish.handshakes
    with Lab.up("bench-probe", Fleet("one-nginx", (Host("web1", (Service.NGINX,)),))) as lab:
        host = lab.hosts["web1"]
        fingerprints = serve(host, wish.certificates)
        names = [list(fingerprints)[number % wish.certificates] for number in range(wish.handshakes)]
        lab.enter()
        handshake.ask(handshake.Endpoint(host.address, 8443, names[0]))
        answer: dict[str, Any] = {}
        second = cost(lambda: answer.update(ours(host.address, names)))
        first = cost(lambda: theirs(host.address, names[:loop]))
    right = sum(fingerprints[one["name"]] == one["fingerprint_sha256"] for one in answer["endpoints"])
    if right != wish.handshakes:
        sys.exit(f"only {right} of {wish.handshakes} handshakes showed the right certificate")
    print(f"{wish.handshakes} handshakes with nginx, {wish.certificates} certificates, all right")
    for what, count, took in (("openssl s_client", loop, first), ("the prober", wish.handshakes, second)):
        each = f"{took.wall / count * 1000:7.2f} ms wall  {took.cpu / count * 1000:7.2f} ms CPU each"
        print(f"{what:17} {count:5} in {took.wall:7.2f} s wall  {took.cpu:7.2f} s CPU  {each}")
    print(f"ratio {first.cpu / loop / (second.cpu / wish.handshakes):.2f} of CPU")
    print(f"ratio {first.wall / loop / (second.wall / wish.handshakes):.2f}")


if __name__ == "__main__":
    main()
