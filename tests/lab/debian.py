"""Debian packages: the machine's own, and newer ones fetched without touching its apt."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import InstallError

RELEASE = "bookworm"

#: Commands of the machine that the lab is made with, and the package of each.
MACHINE_COMMANDS = {
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "dpkg-deb": "dpkg",
    "strace": "strace",
}


@dataclass(frozen=True)
class Archive:
    """Where the machine has its Debian packages from, as its own apt sources say."""

    uri: str
    keyring: str

    def line(self, release: str) -> str:
        """The archive as one line of a sources.list; an expired index of a mirror will do."""
        options = f"[signed-by={self.keyring} check-valid-until=no]"
        return f"deb {options} {self.uri} {release} main\n"


def machine_archive() -> Archive:
    """The archive of the machine's own Debian release."""
    form = "$(RELEASE)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)"
    listing = _output(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    for line in listing.splitlines():
        release, component, uri, entry = line.split("|", 3)
        if (release, component) == (RELEASE, "main"):
            return Archive(uri, _keyring(Path(entry.rpartition(":")[0])))
    raise InstallError(f"no source of {RELEASE} main in this machine's apt sources: the lab needs Debian 12")


def _keyring(sources: Path) -> str:
    """The keyring that a file of sources names (in either format), or else Debian's own."""
    named = re.search(r"signed-by[:=]\s*(/[^\s\],]+)", sources.read_text("utf-8"), re.IGNORECASE)
    return named[1] if named else "/usr/share/keyrings/debian-archive-keyring.gpg"


def missing_packages() -> list[str]:
    packages = [package for name, package in MACHINE_COMMANDS.items() if not shutil.which(name)]
    return sorted(set(packages))


def install_on_machine(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
    if _status(install, environment) == 0:
        return
    # The usual reason is a package index that is not there yet, or too old.
    _status(["apt-get", "update", "-q"], environment)
    if _status(install, environment) != 0:
        raise InstallError(f"apt-get could not install {' '.join(packages)}")


def download(archive: Archive, release: str, minimum: dict[str, str], into: Path) -> list[Path]:
    """Fetch packages of another release into a folder, each at least of its minimum version.

    apt runs with sources, index and cache of its own: that release never becomes
    one that the machine would install from.
    """
    scratch = into / "apt"
    environment = {**os.environ, "APT_CONFIG": str(_private_apt(archive, release, scratch))}
    _must(["apt-get", "update", "-q"], environment, into)
    _must(["apt-get", "download", "-q", *minimum], environment, into)
    shutil.rmtree(scratch)
    return [_checked_package(into, name, least) for name, least in minimum.items()]


def network_settings() -> list[str]:
    """How this machine's apt reaches its sources: a proxy, say, or a root of its own."""
    lines = _output(["apt-config", "dump"]).splitlines()
    return [line for line in lines if line.startswith(("Acquire::http", "Acquire::https"))]


def _private_apt(archive: Archive, release: str, scratch: Path) -> Path:
    for folder in ("etc/none.d", "state/lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "etc/sources.list").write_text(archive.line(release), encoding="utf-8")
    settings = [
        f'Dir::Etc "{scratch}/etc";',
        *(f'Dir::Etc::{parts} "none.d";' for parts in ("parts", "sourceparts", "preferencesparts")),
        f'Dir::State "{scratch}/state";',
        'Dir::State::status "/var/lib/dpkg/status";',
        f'Dir::Cache "{scratch}/cache";',
        'Acquire::Languages "none";',
        'APT::Sandbox::User "root";',
        *network_settings(),
    ]
    file = scratch / "apt.conf"
    file.write_text("\n".join(settings) + "\n", encoding="utf-8")
    return file


def _checked_package(folder: Path, name: str, least: str) -> Path:
    found = sorted(folder.glob(f"{name}_*.deb"))
    if not found:
        raise InstallError(f"{name} was downloaded, but no file of it is in {folder}")
    version = _output(["dpkg-deb", "--field", str(found[-1]), "Version"]).strip()
    if _status(["dpkg", "--compare-versions", version, "ge", least]) != 0:
        raise InstallError(f"the lab needs {name} {least} or newer; the archive has {version}")
    return found[-1]


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise InstallError(f"{' '.join(command[:2])} failed: {done.stderr.strip()}")
    return done.stdout


def _status(command: list[str], environment: dict[str, str] | None = None) -> int:
    return subprocess.run(command, check=False, env=environment, timeout=900).returncode


def _must(command: list[str], environment: dict[str, str], folder: Path) -> None:
    done = subprocess.run(
        command,
        check=False,
        env=environment,
        cwd=folder,
        timeout=900,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise InstallError(f"{' '.join(command[:2])} failed:\n{done.stdout}{done.stderr}")
