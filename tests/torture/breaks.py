"""Ways in which a deploy goes wrong on a server: each breaks a real server, and mends it again."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tests.lab.fleet import Service

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.authority import Issued
    from tests.integration.deploy.conftest import Target
    from tests.lab.host import LabHost

ROLLED_BACK, UNTOUCHED, REFUSED = "rolled_back", "blocked_by_host", "refused"
_UNITS = {Service.NGINX: "nginx", Service.APACHE: "apache2", Service.HAPROXY: "haproxy"}
_RELOADS = {
    Service.NGINX: "/usr/sbin/nginx -s reload",
    Service.APACHE: "/usr/sbin/apachectl graceful",
    Service.HAPROXY: "/bin/kill -USR2 $$MAINPID",
}
_STALE_PORT = 9444
_Changes = dict[str, Any]


@dataclass(frozen=True)
class Break:
    """One way: what is done to the server, and how the deploy must end."""

    name: str
    apply: Callable[[Target, Issued, random.Random], AbstractContextManager[_Changes]]
    states: tuple[str, ...]
    reasons: tuple[str, ...]
    services: tuple[Service, ...] = tuple(_UNITS)

    @override
    def __str__(self) -> str:
        return self.name


@contextmanager
def reload_that_does(host: LabHost, unit: str, command: str) -> Iterator[None]:
    """The unit's reload is replaced by another command."""
    drop_in = f"/run/systemd/system/{unit}.service.d/reload.conf"
    host.write(drop_in, f"[Service]\nExecReload=\nExecReload={command}\n")
    host.run(["systemctl", "daemon-reload"])
    try:
        yield
    finally:
        host.run(["rm", "-f", drop_in, "/run/notafter-once"])
        host.run(["systemctl", "daemon-reload"])


def _reloading(command: str) -> Callable[[Target, Issued, random.Random], AbstractContextManager[_Changes]]:
    @contextmanager
    def apply(target: Target, _issued: Issued, drawn: random.Random) -> Iterator[_Changes]:
        with reload_that_does(target.host, _UNITS[target.site.service], command):
            yield {"verify_seconds": drawn.choice((1, 2, 3))}

    return apply


def _reloading_once(
    first: str,
) -> Callable[[Target, Issued, random.Random], AbstractContextManager[_Changes]]:
    @contextmanager
    def apply(target: Target, _issued: Issued, _drawn: random.Random) -> Iterator[_Changes]:
        real = _RELOADS[target.site.service]
        script = f"if test -e /run/notafter-once; then exec {real}; fi; touch /run/notafter-once; {first}"
        with reload_that_does(target.host, _UNITS[target.site.service], f"/bin/sh -c '{script}'"):
            yield {}

    return apply


@contextmanager
def _kinds_exchanged(target: Target, _issued: Issued, _drawn: random.Random) -> Iterator[_Changes]:
    """The plan is wrong about the files: each gets what belongs into another, or a part of it."""
    files = [{"path": file.path, "kind": file.kind, "sha256": None} for file in target.site.files]
    kinds = [file["kind"] for file in files]
    turned = kinds[1:] + kinds[:1] if len(kinds) > 1 else ["fullchain"]
    wrong = [{**file, "kind": kind} for file, kind in zip(files, turned, strict=True)]
    yield {"deployments": [target.wish(files=wrong)]}


@contextmanager
def _key_of_another(target: Target, _issued: Issued, _drawn: random.Random) -> Iterator[_Changes]:
    """Another virtual host has a certificate of its own and the same file with the key."""
    files = {file.kind: file.path for file in target.site.files}
    certificate = files.get("fullchain") or files["leaf"]
    host = target.host
    host.run(["cp", certificate, "/etc/ssl/other.pem"])
    if target.site.service is Service.NGINX:
        path = "/etc/nginx/conf.d/other.conf"
        text = (
            "server { listen 127.0.0.1:9443 ssl; server_name other.lab.test; "
            f"ssl_certificate /etc/ssl/other.pem; ssl_certificate_key {files['key']}; }}\n"
        )
    else:
        path = "/etc/apache2/sites-enabled/other.conf"
        text = (
            "Listen 127.0.0.1:9443\n<VirtualHost 127.0.0.1:9443>\nServerName other.lab.test\nSSLEngine on\n"
            f"SSLCertificateFile /etc/ssl/other.pem\nSSLCertificateKeyFile {files['key']}\n</VirtualHost>\n"
        )
    host.write(path, text)
    try:
        host.run(["systemctl", "reload", _UNITS[target.site.service]])
        yield {}
    finally:
        host.run(["rm", "-f", path, "/etc/ssl/other.pem"])
        host.run(["systemctl", "reload", _UNITS[target.site.service]])


@contextmanager
def _files_of_nobody(target: Target, _issued: Issued, _drawn: random.Random) -> Iterator[_Changes]:
    """The plan names copies that the server does not read: all goes well, and clients see nothing new."""
    folder = "/etc/ssl/unused"
    target.host.run(["mkdir", "-p", folder])
    files = []
    for file in target.site.files:
        copy = f"{folder}/{file.path.rpartition('/')[2]}"
        target.host.run(["cp", "-a", file.path, copy])
        files.append({"path": copy, "kind": file.kind, "sha256": None})
    try:
        yield {"deployments": [target.wish(files=files)], "verify_seconds": 2}
    finally:
        target.host.run(["rm", "-rf", folder])


@contextmanager
def _half_of_the_listeners(target: Target, _issued: Issued, _drawn: random.Random) -> Iterator[_Changes]:
    """Something else answers on one of the listeners, and goes on to show the old certificate."""
    host = target.host
    host.run(["sh", "-c", f"cat {' '.join(file.path for file in target.site.files)} >/root/stale.pem"])
    server = f"openssl s_server -accept {_STALE_PORT} -cert /root/stale.pem -key /root/stale.pem -www -quiet"
    pid = host.run(["sh", "-c", f"{server} >/dev/null 2>&1 & echo $!"]).stdout.strip()
    listeners = [f"*:{target.site.port}", f"*:{_STALE_PORT}"]
    try:
        host.wait_until(lambda: _listens(host), "the other server does not listen", 60)
        yield {"deployments": [target.wish(listeners=listeners)], "verify_seconds": 2}
    finally:
        host.run(["kill", pid], check=False)
        host.run(["rm", "-f", "/root/stale.pem"])


def _listens(host: LabHost) -> bool:
    return f":{_STALE_PORT} " in host.run(["ss", "-Hltn"]).stdout


@contextmanager
def _disk_full_in_the_middle(target: Target, _issued: Issued, drawn: random.Random) -> Iterator[_Changes]:
    """The folder of the first file is on a disk with room for some of the new files at most."""
    folder = target.site.files[0].path.rpartition("/")[0]
    new = [file for file in target.site.files if file.path.startswith(f"{folder}/") and file.kind != "chain"]
    pages = drawn.randrange(len(new))
    script = (
        "set -e; size=$(du -sk $1 | cut -f1); mkdir -p /mnt/full;"
        " mount -t tmpfs -o mode=0755,size=$((size * 2 + 512))k tmpfs /mnt/full;"
        " cp -a $1/. /mnt/full/; mount --bind /mnt/full $1;"
        " head -c $(($2 * 4096)) /dev/zero >/mnt/full/room;"
        " dd if=/dev/zero of=/mnt/full/filler bs=4k 2>/dev/null || true; rm /mnt/full/room"
    )
    target.host.run(["sh", "-c", script, "sh", folder, str(pages)])
    try:
        yield {}
    finally:
        target.host.run(["umount", folder])
        target.host.run(["umount", "/mnt/full"])


_NO_HAPROXY = (Service.NGINX, Service.APACHE)
BREAKS = (
    Break("reload lies", _reloading("/bin/true"), (ROLLED_BACK,), ("not_served",)),
    Break("reload fails once", _reloading_once("false"), (ROLLED_BACK,), ("reload_failed",)),
    Break("reload hangs once", _reloading_once("exec sleep 300"), (ROLLED_BACK,), ("reload_failed",)),
    Break("reload fails for ever", _reloading("/bin/false"), (ROLLED_BACK,), ("reload_failed",)),
    Break(
        "kinds exchanged",
        _kinds_exchanged,
        (ROLLED_BACK, REFUSED),
        ("config_test_failed", "no_key_file"),
    ),
    Break("key of another", _key_of_another, (ROLLED_BACK,), ("config_test_failed",), _NO_HAPROXY),
    Break("files of nobody", _files_of_nobody, (ROLLED_BACK,), ("not_served",)),
    Break("half of the listeners", _half_of_the_listeners, (ROLLED_BACK,), ("not_served",)),
    Break("disk full in the middle", _disk_full_in_the_middle, (UNTOUCHED,), ("no_space",)),
)
#: Where the host says that all is well, and clients see something else (goal M).
LIES = frozenset({"reload lies", "files of nobody", "half of the listeners"})
