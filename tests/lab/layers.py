"""Further layers of hosts: servers that few tests need, installed above the root of all hosts.

A layer is what `apt-get install` changes in a root: the upper part of an overlay. It is built
once, when the first lab wants it, and lies in the cache beside the image that it belongs to.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import debian, kernel
from tests.lab.errors import InstallError
from tests.lab.image import bootstrap, finish

if TYPE_CHECKING:
    from tests.lab.image import Image, Say


class Layer(StrEnum):
    """The layers that there are; a host has one at most, for each has users of its own."""

    SERVERS = "servers"
    OTHERS = "others"  #: what Debian does not let a machine have beside those
    DEBIAN_11 = "debian-11"  #: a whole root of an older release, which no other lies below


#: The packages of each layer.
PACKAGES = {
    Layer.SERVERS: (
        *("lighttpd", "lighttpd-mod-openssl", "caddy", "vsftpd", "postfix", "dovecot-imapd"),
        *("dovecot-pop3d", "tomcat10", "postgresql", "mariadb-server", "slapd", "prosody"),
        *("libnginx-mod-stream", "libnginx-mod-mail", "libtomcat9-java"),
    ),
    Layer.OTHERS: ("exim4-daemon-light", "proftpd-core", "proftpd-mod-crypto"),
    Layer.DEBIAN_11: (
        *("systemd", "systemd-sysv", "dbus", "openssh-server", "ca-certificates", "netbase", "iproute2"),
        *("procps", "python3", "openssl", "nginx-light", "apache2"),
    ),
}
#: The release of each layer that is a root of its own.
WHOLE = {Layer.DEBIAN_11: "bullseye"}

_QUIET = "#!/bin/sh\nexit 101\n"


def ready(image: Image, layer: Layer, say: Say | None = None) -> Path:
    """The folder of a layer, built first if this machine does not have it."""
    recipe = hashlib.sha256(" ".join(PACKAGES[layer]).encode()).hexdigest()[:8]
    folder = image.folder / "layers" / f"{layer}-{recipe}"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / f"{layer}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            if say is not None:
                say(f"building the layer {layer} of hosts: {' '.join(PACKAGES[layer])}")
            _build(image, layer, folder)
    return folder


def _build(image: Image, layer: Layer, folder: Path) -> None:
    for leftover in folder.parent.glob(f"building-{layer}-*"):
        shutil.rmtree(leftover)  # its builder had mounted only in a name space of its own
    if layer in WHOLE:
        _build_whole(layer, folder)
        return
    scratch = Path(tempfile.mkdtemp(prefix=f"building-{layer}-", dir=folder.parent))
    work = [sys.executable, "-m", "tests.lab.layers", str(image.root), str(scratch), *PACKAGES[layer]]
    done = subprocess.run(
        [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "--",
            *work,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=1200,
        umask=0o022,
        cwd=Path(__file__).parents[2],
    )
    if done.returncode != 0:
        raise InstallError(f"the layer {layer} could not be built:\n{(done.stdout + done.stderr)[-4000:]}")
    (scratch / "upper").chmod(0o755)
    (scratch / "upper").rename(folder)
    shutil.rmtree(scratch)


def _build_whole(layer: Layer, folder: Path) -> None:
    root = Path(tempfile.mkdtemp(prefix=f"building-{layer}-", dir=folder.parent))
    bootstrap(debian.machine_archive(), root, WHOLE[layer], PACKAGES[layer])
    finish(root)
    root.chmod(0o755)
    root.rename(folder)


def _install(root: Path, scratch: Path, packages: list[str]) -> None:
    """Runs apt above the root, in a mount name space that ends with this process."""
    upper, work, merged = (scratch / name for name in ("upper", "work", "merged"))
    for place in (upper, work, merged):
        place.mkdir(mode=0o755)
    kernel.mount("overlay", merged, "overlay", 0, f"lowerdir={root},upperdir={upper},workdir={work}")
    kernel.mount("proc", merged / "proc", "proc")
    kernel.mount("/dev", merged / "dev", None, kernel.MS_BIND | kernel.MS_REC)
    for name in ("tmp", "run"):
        kernel.mount("tmpfs", merged / name, "tmpfs", 0, "mode=1777")
    _prepare(merged)
    settings = [
        part for line in debian.network_settings() for part in ("-o", line.rstrip(";").replace(" ", "=", 1))
    ]
    apt = ["chroot", str(merged), "apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root", *settings]
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C.UTF-8",
    }
    for arguments in (["update"], ["install", "--no-install-recommends", *packages]):
        subprocess.run([*apt, *arguments], check=True, timeout=900, env=environment)
    _tidy(merged, upper)


def _prepare(merged: Path) -> None:
    """What a package may need while it is installed: an archive to come from, names, no starts."""
    archive = debian.machine_archive()
    keyring = merged / "tmp/keyring"
    shutil.copy(archive.keyring, keyring)
    lines = debian.Archive(archive.uri, "/tmp/keyring").line(debian.RELEASE)
    (merged / "etc/apt/sources.list").write_text(lines, encoding="utf-8")
    (merged / "usr/sbin/policy-rc.d").write_text(_QUIET, encoding="utf-8")
    (merged / "usr/sbin/policy-rc.d").chmod(0o755)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(Path("/etc") / name, merged / "etc" / name)
    (merged / "etc/hostname").write_text("layer\n", encoding="utf-8")


def _tidy(merged: Path, upper: Path) -> None:
    """Takes away what only the building needed, and what would start by itself."""
    subprocess.run(["chroot", str(merged), "apt-get", "clean"], check=True, timeout=60)
    for place in ("etc/resolv.conf", "etc/hosts", "etc/hostname", "usr/sbin/policy-rc.d"):
        (merged / place).unlink(missing_ok=True)
    for wants in (merged / "etc/systemd/system").glob("*.wants"):
        shutil.rmtree(wants)
    for place in ("var/lib/apt/lists", "var/cache/apt", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(upper / place, ignore_errors=True)


if __name__ == "__main__":
    _install(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
