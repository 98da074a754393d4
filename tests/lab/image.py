"""What every lab is made from, built once: the root file system of hosts, pebble and acme.sh."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import debian, kernel
from tests.lab.errors import InstallError

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "ca-certificates", "netbase"),
    *("iproute2", "procps", "acl", "attr", "python3", "openssl", "curl", "socat", "cron"),
    *("nginx", "apache2", "haproxy", "ssl-cert", "knot", "knot-dnsutils"),
)

#: The release that has them, and the versions below which the lab cannot work:
#: pebble from 2.10 on has profiles and renewal information, acme.sh from 3.1.4 on uses both.
NEWER_RELEASE = "sid"
NEWER = {"pebble": "2.10", "acme.sh": "3.1.4"}

#: Units that have no sense in a host without hardware, or that would reach the machine's kernel.
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "logrotate.timer", "console-getty.service"),
    *("getty@tty1.service", "getty.target", "systemd-logind.service", "systemd-udevd.service"),
    *("systemd-udev-trigger.service", "systemd-udevd-kernel.socket", "systemd-networkd.service"),
    *("systemd-udevd-control.socket", "systemd-resolved.service", "systemd-timesyncd.service"),
    *("systemd-modules-load.service", "systemd-sysctl.service", "systemd-binfmt.service"),
    *("proc-sys-fs-binfmt_misc.automount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
    *("sys-kernel-config.mount", "sys-fs-fuse-connections.mount", "dev-hugepages.mount"),
    *("systemd-journald-audit.socket", "systemd-random-seed.service", "systemd-pstore.service"),
    *("modprobe@configfs.service", "modprobe@dm_mod.service", "modprobe@drm.service"),
    *("modprobe@efi_pstore.service", "modprobe@fuse.service", "modprobe@loop.service"),
)

#: Leftovers of the packages that a host would otherwise share with every other, or answer with.
REMOVED = (
    *("etc/ssh/ssh_host_*", "etc/machine-id", "etc/hostname", "etc/hosts", "etc/resolv.conf"),
    *("etc/nginx/sites-enabled/default", "etc/apache2/sites-enabled/000-default.conf"),
    *("var/www/html/*", "etc/ssl/private/ssl-cert-snakeoil.key"),
)

#: Debian 12's default key exchange costs 100 ms of CPU for each connection, this one 14 ms.
SSHD = "KexAlgorithms curve25519-sha256\nUseDNS no\n"

#: Runs a program with mounts and processes of its own, which end with the builder, however it
#: ends: mmdebstrap by itself would mount in the machine's name space, and leave it so when killed.
_ALONE = (
    *("setpriv", "--pdeathsig", "KILL", "--", "unshare", "--mount", "--propagation", "private"),
    *("--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"),
)

_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Image:
    """The finished parts in the cache."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def pebble(self) -> Path:
        """The tree with /usr/bin/pebble, a second layer of the CA's host."""
        return self.folder / "pebble"

    @property
    def acme_sh_package(self) -> Path:
        return next(self.folder.glob("acme.sh_*.deb"))


def cache_folder() -> Path:
    return Path(os.environ.get("NOTAFTER_LAB_CACHE", "/var/cache/notafter-lab")).resolve()


def ready_image() -> Image:
    """The image, which `install` must have made before."""
    image = Image(cache_folder() / _recipe())
    if not image.folder.is_dir() or debian.missing_packages():
        raise InstallError("the lab is not installed: run `python3 -m tests.lab install` first")
    return image


def install(say: Say = print) -> Image:
    """Make everything that the lab needs; quick when it is there already."""
    if os.geteuid() != 0:
        raise InstallError("the lab makes network namespaces and mounts: it needs root")
    if packages := debian.missing_packages():
        say(f"installing on this machine: {' '.join(packages)}")
        debian.install_on_machine(packages)
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    image = Image(cache / _recipe())
    with _only_builder(cache):
        if not image.folder.is_dir():
            _build(image, say)
    say(f"the lab is installed: {image.folder}")
    return image


def _recipe() -> str:
    """A name that changes with anything that would make another image."""
    ingredients = [debian.RELEASE, PACKAGES, NEWER, MASKED, REMOVED, SSHD, _EXCLUDED]
    text = json.dumps(ingredients) + os.uname().machine
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _only_builder(cache: Path) -> Iterator[None]:
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Whoever holds the lock knows that no other builder lives: these are of killed ones.
        for leftover in cache.glob("building-*"):
            _remove_leftover(leftover)
        yield


def _remove_leftover(folder: Path) -> None:
    """Delete what a killed builder has left, without ever walking into a mounted file system.

    A build mounts /proc, /sys and /dev below its folder: deleting through such a mount
    would delete from the machine.
    """
    for place in sorted(_mounts_below(folder), reverse=True):  # the deepest ones first
        kernel.detach(place)
    if _mounts_below(folder):
        raise InstallError(f"something is still mounted below {folder}: it is left as it is")
    shutil.rmtree(folder)


def _mounts_below(folder: Path) -> list[Path]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    places = [Path(_unescaped(line.split()[1])) for line in lines]
    return [place for place in places if place.is_relative_to(folder)]


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _build(image: Image, say: Say) -> None:
    folder = Path(tempfile.mkdtemp(prefix="building-", dir=image.folder.parent))
    archive = debian.machine_archive()
    say(f"downloading {' and '.join(NEWER)} of Debian {NEWER_RELEASE}")
    packages = debian.download(archive, NEWER_RELEASE, NEWER, folder)
    _unpack(packages[0], folder / "pebble")
    say(f"building the root file system of hosts: Debian {debian.RELEASE}, half a minute or so")
    bootstrap(archive, folder / "root", debian.RELEASE, PACKAGES)
    finish(folder / "root")
    folder.chmod(0o755)
    folder.rename(image.folder)


def _unpack(package: Path, into: Path) -> None:
    command = ["dpkg-deb", "--extract", str(package), str(into)]
    subprocess.run(command, check=True, timeout=120, umask=0o022)
    shutil.rmtree(into / "usr/share")


def bootstrap(archive: debian.Archive, root: Path, release: str, packages: Iterable[str]) -> None:
    """A root file system of a release of Debian with packages."""
    command = [*_ALONE, "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    command += [f"--aptopt={setting}" for setting in debian.network_settings()]
    command += ["--dpkgopt=force-unsafe-io", release, str(root)]
    done = subprocess.run(
        [*command, archive.line(release)],
        check=False,
        capture_output=True,
        text=True,
        timeout=1200,
        umask=0o022,
    )
    if done.returncode != 0:
        raise InstallError(f"mmdebstrap failed:\n{done.stderr[-4000:]}")


def finish(root: Path) -> None:
    """Turn what the packages have enabled off, and take away what must differ on every host."""
    for pattern in REMOVED:
        for place in root.glob(pattern):
            place.unlink() if not place.is_dir() else shutil.rmtree(place)
    units = root / "etc/systemd/system"
    for wants in units.glob("*.wants"):
        shutil.rmtree(wants)
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    default = units / "default.target"
    default.unlink(missing_ok=True)
    default.symlink_to("/lib/systemd/system/multi-user.target")
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text(SSHD, encoding="utf-8")
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
