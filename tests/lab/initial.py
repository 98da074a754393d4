"""The certificates that a fleet starts with, from an old root that the lab makes for itself."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from tests.lab.errors import LabError
from tests.lab.fleet import KeyType, Site
from tests.lab.seed import SeedFile, link

_NEW_KEY = {
    KeyType.EC_256: ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    KeyType.EC_384: ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    KeyType.RSA_2048: ["-newkey", "rsa:2048"],
}

#: `openssl ca` is the one command of OpenSSL 3.0 that takes both ends of the validity exactly.
_CONFIG = """\
[ca]
default_ca = lab
[lab]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = optional
[intermediate]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Bundle:
    """A certificate, its chain and its key, as PEM."""

    leaf: str
    chain: str
    key: str

    def part(self, kind: str) -> str:
        parts = {
            "leaf": self.leaf,
            "chain": self.chain,
            "fullchain": self.leaf + self.chain,
            "key": self.key,
            "combined": self.leaf + self.chain + self.key,
        }
        return parts[kind]


class OldAuthority:
    """A root with one intermediate, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700)
        (folder / "openssl.cnf").write_text(_CONFIG, encoding="utf-8")
        (folder / "index.txt").touch()
        self_signed(folder, "root", "Lab Old Root")
        self._request("intermediate", "Lab Old Intermediate", KeyType.EC_256)
        self._sign("intermediate", "root", "intermediate", timedelta(days=3650))

    @property
    def root_pem(self) -> str:
        return self._read("root.pem")

    def issue(self, sites: tuple[Site, ...], validity: int) -> dict[str, Bundle]:
        """One bundle a site; the validity, in seconds, begins now and is exact."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._request_for, sites))
        return {site.key: self._bundle(site, site.validity or validity) for site in sites}

    def _request_for(self, site: Site) -> None:
        names = ",".join(f"DNS:{name}" for name in site.names)
        self._request(_stem(site), site.names[0], site.key_type, "-addext", f"subjectAltName={names}")

    def _bundle(self, site: Site, validity: int) -> Bundle:
        self._sign(_stem(site), "intermediate", "leaf", timedelta(seconds=validity))
        leaf, key = self._read(f"{_stem(site)}.pem"), self._read(f"{_stem(site)}.key")
        return Bundle(leaf, self._read("intermediate.pem"), key)

    def _request(self, stem: str, subject: str, key_type: KeyType, *more: str) -> None:
        command = ["req", "-new", "-nodes", *_NEW_KEY[key_type], "-subj", f"/CN={subject}"]
        openssl(self._folder, *command, "-keyout", f"{stem}.key", "-out", f"{stem}.csr", *more)

    def _sign(self, stem: str, issuer: str, extensions: str, validity: timedelta) -> None:
        now = datetime.now(UTC)
        openssl(
            self._folder,
            *("ca", "-batch", "-notext", "-config", "openssl.cnf"),
            *("-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key", "-extensions", extensions),
            *("-startdate", f"{now:%Y%m%d%H%M%SZ}", "-enddate", f"{now + validity:%Y%m%d%H%M%SZ}"),
            *("-in", f"{stem}.csr", "-out", f"{stem}.pem"),
        )

    def _read(self, name: str) -> str:
        return (self._folder / name).read_text(encoding="utf-8")


def _stem(site: Site) -> str:
    return f"site-{site.key}"


def self_signed(folder: Path, stem: str, subject: str) -> None:
    """A root certificate that outlives every lab."""
    openssl(
        folder,
        *("req", "-x509", "-nodes", *_NEW_KEY[KeyType.EC_256], "-days", "3650"),
        *("-subj", f"/CN={subject}", "-keyout", f"{stem}.key", "-out", f"{stem}.pem"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )


def openssl(folder: Path, *arguments: str) -> None:
    command = ["openssl", *arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise LabError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def lay_out(site: Site, bundle: Bundle) -> list[SeedFile]:
    """The files of a site's certificate, where its server looks for them."""
    files: list[SeedFile] = []
    for file in site.files:
        path = file.path
        if file.target is not None:
            files.append(link(path, file.target))
            path = _normal(PurePosixPath(path).parent / file.target)
        files.append(SeedFile(path, bundle.part(file.kind), file.mode, file.group))
    return files


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return str(PurePosixPath(*parts))
