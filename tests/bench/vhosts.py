"""Virtual hosts by the thousand on one host: how time and memory of a scan grow with them.

Each has a certificate of its own. Prints seconds of the processor and MiB of the host's program and
of the controller's half, for 1,000 and 10,000 virtual hosts of each kind of server.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

from tests.authority import Authority, Issued
from tests.lab.fleet import Fleet, Host, Service
from tests.lab.lab import Lab

sys.path.append("playbooks/collections")
from ansible_collections.notafter.tls.plugins.plugin_utils import carrier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.host import LabHost

Files = dict[str, str]


def nginx(number: int, name: str, issued: Issued) -> Files:
    """One file a server, as Debian does it."""
    server = (
        f"server {{\n    listen 443 ssl;\n    server_name {name} www.{name};\n"
        f"    ssl_certificate /etc/ssl/bench/{name}.pem;\n"
        f"    ssl_certificate_key /etc/ssl/bench/{name}.key;\n"
        "    root /var/www/html;\n    location / { try_files $uri =404; }\n}\n"
        f"server {{\n    listen 80;\n    server_name {name};\n    return 301 https://$host$request_uri;\n}}\n"
    )
    return {f"etc/nginx/sites-enabled/bench-{number:05}.conf": server, **_apart(name, issued)}


def apache(number: int, name: str, issued: Issued) -> Files:
    """One file a virtual host, as Debian does it."""
    host = (
        f"<VirtualHost *:443>\n    ServerName {name}\n    ServerAlias www.{name}\n    SSLEngine on\n"
        f"    SSLCertificateFile /etc/ssl/bench/{name}.pem\n"
        f"    SSLCertificateKeyFile /etc/ssl/bench/{name}.key\n</VirtualHost>\n"
    )
    return {f"etc/apache2/sites-enabled/bench-{number:05}.conf": host, **_apart(name, issued)}


def haproxy(_number: int, name: str, issued: Issued) -> Files:
    """One combined file in the folder that a bind line names."""
    return {f"etc/haproxy/bench/{name}.pem": issued.certificate + issued.chain + issued.private_key}


def _apart(name: str, issued: Issued) -> Files:
    folder = "etc/ssl/bench"
    return {
        f"{folder}/{name}.pem": issued.certificate + issued.chain,
        f"{folder}/{name}.key": issued.private_key,
    }


KINDS: dict[str, Callable[[int, str, Issued], Files]] = {
    "nginx": nginx,
    "apache": apache,
    "haproxy": haproxy,
}


def write(host: LabHost, kind: str, authority: Authority, count: int, first: int = 0) -> None:
    """Puts virtual hosts with certificates of their own on a host; its server is not told."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in _files(host.name, kind, authority, range(first, first + count)):
            data = content.encode()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o600 if path.endswith(".key") else 0o644
            tar.addfile(entry, io.BytesIO(data))
    command = [*host.enter_prefix(), "tar", "-x", "-f", "-", "-C", "/"]
    subprocess.run(command, input=archive.getvalue(), check=True, timeout=300)


def _files(place: str, kind: str, authority: Authority, numbers: range) -> Iterator[tuple[str, str]]:
    for number in numbers:
        name = f"s{number:05}.{place}.lab.test"
        yield from KINDS[kind](number, name, authority.issue(name, f"www.{name}")).items()


#: What reports the program's own costs beside its answer.
MEASURE = """
import resource
own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
seconds = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
sys.stderr.write(json.dumps({"seconds": seconds, "megabytes": own.ru_maxrss // 1024}))
"""
#: The controller's half, in a process of its own so that its memory can be told.
COMPLETE = """
import datetime, json, resource, sys
from ansible_collections.notafter.tls.plugins.plugin_utils import bounds, certificates
raw = json.load(sys.stdin)
before = resource.getrusage(resource.RUSAGE_SELF)
pages = bounds.pages(certificates.complete(raw, datetime.datetime.now(datetime.timezone.utc)))
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    "megabytes": after.ru_maxrss // 1024, "size": sum(map(bounds.size, pages)), "pages": len(pages),
    "left_out": pages[0].get("left_out", 0),
}))
"""


def measure(host: LabHost, kind: str) -> str:
    """One line about a scan of one kind of server."""
    request = {"op": "scan", "services": [kind], "timeout": 300, "handshakes": False}
    text = carrier.payload(request).decode().replace("\nos._exit(0)", MEASURE)
    done = host.run(["/usr/bin/python3", "-I", "-S", "-B", "-"], input=text, timeout=600)
    costs = json.loads(done.stderr)
    raw = carrier.parse(done.returncode, done.stdout, "")
    env = {"PYTHONPATH": "playbooks/collections"}
    command = [sys.executable, "-c", COMPLETE]
    half = subprocess.run(
        command, input=json.dumps(raw), check=True, capture_output=True, text=True, env=env, timeout=600
    )
    controller = json.loads(half.stdout)
    return (
        f"{len(raw['bindings']):6} bindings  host {costs['seconds']:6.2f} s {costs['megabytes']:4} MiB"
        f"  answer {len(done.stdout) / 1e6:5.1f} MB  controller {controller['seconds']:6.2f} s"
        f" {controller['megabytes']:4} MiB  result {controller['size'] / 1e6:.2f} MB"
        f" on {controller['pages']} pages ({controller['left_out']} left out)"
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10000])
    wish = parser.parse_args()
    hosts = tuple(Host(f"{kind}1", (Service(kind),)) for kind in KINDS)
    authority = Authority()
    with Lab.up("bench-vhosts", Fleet("bench-vhosts", hosts)) as lab:
        for kind in KINDS:
            host = lab.hosts[f"{kind}1"]
            if kind == "haproxy":
                config = host.read("/etc/haproxy/haproxy.cfg")
                bind = "\nfrontend bench\n  mode http\n  bind :443 ssl crt /etc/haproxy/bench/\n"
                host.write("/etc/haproxy/haproxy.cfg", config + bind)
            there = 0
            for count in wish.counts:
                write(host, kind, authority, count - there, there)
                there = count
                print(f"{kind:8} {measure(host, kind)}", flush=True)


if __name__ == "__main__":
    main()
