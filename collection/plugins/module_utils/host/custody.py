# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys that the issuer itself keeps, where there is no control plane.

certificates/<name>/next/        key.pem, csr.pem, about.json: asked for, not signed yet
certificates/<name>/versions/F/  key.pem, certificate.pem, chain.pem: F is the fingerprint;
                                 revoked.json where the CA has revoked it
certificates/<name>/current      link to the newest version, switched by one rename
"""

import os
import re
import shutil
import time
from typing import Any, Dict, List, Optional

from . import commands, pem, state
from .errors import HostError, Refused
from .names import is_address

FORGET_AFTER = 30 * 86400
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_KEYS = {
    "ec-256": ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ec-384": ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "rsa-2048": ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa-3072": ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
    "rsa-4096": ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
}


def _directory(name: str, *parts: str) -> str:
    if not _NAME.match(name):
        raise Refused("invalid_request", "%r is no valid name for a certificate" % name)
    return state.directory("certificates", name, *parts)


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read()
    except OSError:
        return None


def current(name: str, with_key: bool) -> Optional[Dict[str, Any]]:
    """The newest version that this issuer keeps under a name, as a bundle; None when there is none."""
    path = os.path.join(_directory(name), "current")
    certificate = _read(os.path.join(path, "certificate.pem"))
    if certificate is None:
        return None
    bundle = {
        "certificate": certificate,
        "chain": _read(os.path.join(path, "chain.pem")) or "",
        "fingerprint_sha256": pem.fingerprint(certificate),
        "revoked": state.read_json(os.path.join(path, "revoked.json")),
    }
    if with_key:
        bundle["private_key"] = _read(os.path.join(path, "key.pem")) or ""
    return bundle


def key_of(name: str, fingerprint: str) -> Optional[str]:
    """The key of one version that this issuer keeps; None where it has none."""
    if not re.match(r"^[0-9a-f]{64}\Z", fingerprint):
        return None
    return _read(os.path.join(_directory(name, "versions"), fingerprint, "key.pem"))


def mark_revoked(name: str, fingerprint: str, reason: str) -> None:
    """Notes of a version that its CA has revoked it: the next request is a new one."""
    path = os.path.join(_directory(name, "versions"), fingerprint)
    if os.path.isdir(path):
        state.write_json(os.path.join(path, "revoked.json"), {"reason": reason, "at": int(time.time())})


def _lock(name: str) -> Any:
    return state.lock(os.path.join(_directory(name), "lock"), 60, "the certificate %s" % name)


def request(name: str, names: List[str], key_type: str) -> Dict[str, str]:
    """The open request of a certificate: the one that lies there if it asks for the same, else a new one."""
    wish = {"names": names, "key_type": checked_key_type(key_type)}
    with _lock(name):
        pending = _directory(name, "pending")
        served_key = _read(os.path.join(_directory(name), "current", "key.pem"))
        for attempt in sorted(os.listdir(pending)):
            path = os.path.join(pending, attempt)
            csr, key = _read(os.path.join(path, "csr.pem")), _read(os.path.join(path, "key.pem"))
            stale = time.time() - os.stat(path).st_mtime > FORGET_AFTER
            if csr is None or key is None or key == served_key or stale:
                shutil.rmtree(path)  # half made, signed already, or forgotten
            elif state.read_json(os.path.join(path, "about.json")) == wish:
                return {"csr": csr, "attempt": attempt}
        return _make(name, names, key_type, wish)


def checked_key_type(key_type: str) -> str:
    """The type of a key; raises Refused when there is no such type."""
    if key_type not in _KEYS:
        raise Refused("invalid_request", "key type %r is none of %s" % (key_type, ", ".join(sorted(_KEYS))))
    return key_type


def new_key(key_type: str) -> str:
    """A new private key (PEM) of a type."""
    made = commands.run(_KEYS[checked_key_type(key_type)], 120.0)
    if made.returncode != 0:
        raise HostError("internal", "openssl cannot make a key: %s" % made.said())
    return made.stdout.decode("ascii")


def _make(name: str, names: List[str], key_type: str, wish: Dict[str, Any]) -> Dict[str, str]:
    attempt = "%s-%s" % (name[:40], os.urandom(6).hex())
    path = _directory(name, "pending", attempt)
    key = os.path.join(path, "key.pem")
    state.write(key, new_key(key_type).encode("ascii"))
    csr = _make_csr(path, key, names)
    state.write_json(os.path.join(path, "about.json"), wish)
    state.write(os.path.join(path, "csr.pem"), csr.encode("ascii"))
    return {"csr": csr, "attempt": attempt}


def _make_csr(path: str, key: str, names: List[str]) -> str:
    settings = (
        "[req]\ndistinguished_name=subject\nreq_extensions=extensions\nprompt=no\n[subject]\n"
        "[extensions]\nsubjectAltName=%s\n" % ",".join(map(_stated, names))
    )
    config = os.path.join(path, "openssl.cnf")
    state.write(config, settings.encode("ascii"))
    made = commands.run(
        ["openssl", "req", "-new", "-sha256", "-subj", "/", "-key", key, "-config", config], 30.0
    )
    os.unlink(config)
    if made.returncode != 0:
        raise HostError("internal", "openssl cannot make a CSR: %s" % made.said())
    return made.stdout.decode("ascii")


def _stated(name: str) -> str:
    """A name as openssl wants it in a request: an address is no DNS name (RFC 8738 §3)."""
    return ("IP:" if is_address(name) else "DNS:") + name


def promote(name: str, attempt: str, certificate: str, chain: str) -> None:
    """Makes a signed certificate the current version, with the key that its request was made with."""
    fingerprint = pem.fingerprint(certificate)
    with _lock(name):
        base, version = _directory(name), _directory(name, "versions", fingerprint)
        pending = os.path.join(base, "pending", attempt)
        key = _read(os.path.join(pending, "key.pem")) or _read(os.path.join(version, "key.pem"))
        if key is None or _public("pkey", key) != _public("x509", certificate):
            raise HostError("internal", "the key of the signed certificate is not on this issuer")
        state.write(os.path.join(version, "key.pem"), key.encode("ascii"))
        state.write(os.path.join(version, "chain.pem"), chain.encode("ascii"))
        state.write(os.path.join(version, "certificate.pem"), certificate.encode("ascii"))
        link = os.path.join(base, "current.%d.tmp" % os.getpid())
        os.symlink(os.path.join("versions", fingerprint), link)
        os.rename(link, os.path.join(base, "current"))
        state.sync_directory(base)
        state.failpoint("promoted")
        shutil.rmtree(pending, ignore_errors=True)


def forget(name: str, attempt: str) -> None:
    """Drops the open request of an attempt, and its key: nothing that counts was signed for it."""
    with _lock(name):
        shutil.rmtree(os.path.join(_directory(name), "pending", attempt), ignore_errors=True)


def _public(kind: str, text: str) -> bytes:
    """The public key of a private key or a certificate, as openssl writes it."""
    argv = ["openssl", "pkey", "-pubout"] if kind == "pkey" else ["openssl", "x509", "-noout", "-pubkey"]
    result = commands.run(argv, 20.0, input=text.encode("ascii"))
    if result.returncode != 0:
        raise HostError("internal", "openssl cannot read a key: %s" % result.said())
    return result.stdout
