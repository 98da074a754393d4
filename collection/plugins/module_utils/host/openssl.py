# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the program `openssl` can do: Python's library has no stapled responses and no ciphers."""

import os
import re
from typing import Dict, List, Optional, Tuple

from . import commands
from .errors import HostError

_STATUS = re.compile(r"^\s*Cert Status: (\w+)", re.MULTILINE)
_TIMES = re.compile(r"^\s*(This|Next) Update: (.+)$", re.MULTILINE)
_SECONDS = 20.0
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def s_client(
    place: str, starttls: Optional[str], name: Optional[str], timeout: float, options: List[str]
) -> Optional[str]:
    """What `openssl s_client` prints of one handshake; None where it cannot be run."""
    argv = ["openssl", "s_client", "-connect", place] + options
    if starttls is not None:
        argv += ["-starttls", starttls]
        argv += ["-xmpphost", name] if starttls.startswith("xmpp") and name else []
    argv += ["-servername", name] if name else ["-noservername"]
    try:
        return commands.run(argv, timeout, input=b"").stdout.decode("latin-1")
    except HostError:
        return None


def stapling(
    place: str, starttls: Optional[str], name: Optional[str], timeout: float
) -> Optional[Dict[str, Optional[str]]]:
    """The OCSP response that comes with a handshake (RFC 6066 §8); None where it could not be asked for."""
    said = s_client(place, starttls, name, timeout, ["-status"])
    if said is None or "OCSP response" not in said:
        return None
    told = {"status": "none", "this_update": None, "next_update": None}  # type: Dict[str, Optional[str]]
    if "OCSP response: no response sent" in said:
        return told
    status = _STATUS.search(said)
    told["status"] = status.group(1) if status else "error"
    for which, text in _TIMES.findall(said):
        told.setdefault(which.lower() + "_update", None)
        told[which.lower() + "_update"] = told[which.lower() + "_update"] or _iso(text)
    return told


def _iso(text: str) -> Optional[str]:
    """`Nov 22 16:00:00 2026 GMT` as ISO 8601; by hand, for strptime follows the locale."""
    parts = text.split()
    if len(parts) != 5 or parts[0] not in _MONTHS or not parts[1].isdigit():
        return None
    return "%s-%02d-%02dT%sZ" % (parts[3], _MONTHS.index(parts[0]) + 1, int(parts[1]), parts[2])


def key_der(key: bytes) -> bytes:
    """A private key (PEM, without a password) as PKCS#8 in DER."""
    result = commands.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], _SECONDS, input=key)
    if result.returncode != 0:
        raise HostError("malformed", "openssl cannot read the private key")
    return result.stdout


def shrouded(key: bytes, password: str, modern: bool) -> bytes:
    """A private key (PKCS#8, DER) encrypted with a password, as a keystore has it.

    What is not `modern` is as Java wrote it until 2021, for one that old to read it.
    """
    way = ["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "10000"]
    argv = ["openssl", "pkcs8", "-topk8", "-inform", "DER", "-outform", "DER"]
    result = _with_password(argv + (way if modern else ["-v1", "PBE-SHA1-3DES"]), "-passout", key, password)
    if result.returncode != 0:
        raise HostError("openssl_failed", "openssl cannot encrypt the private key: %s" % result.said())
    return result.stdout


def opened(key: bytes, password: Optional[str]) -> Optional[bytes]:
    """A private key (PKCS#8, DER, encrypted if there is a password) as PEM; None where it does not open."""
    argv = ["openssl", "pkcs8", "-inform", "DER"]
    if password is None:
        result = commands.run(argv + ["-nocrypt"], _SECONDS, input=key)
    else:
        result = _with_password(argv, "-passin", key, password)
    return result.stdout if result.returncode == 0 else None


def bags(keystore: bytes, password: str) -> Optional[Tuple[bytes, bytes]]:
    """The certificates of a keystore (PKCS#12) with what they bear, and what kinds of things are in it."""
    argv = ["openssl", "pkcs12", "-nokeys", "-nomacver", "-info"]
    for flags in ([], ["-legacy"]):  # RC2, which Java and openssl wrote until 2021
        result = _with_password(argv + flags, "-passin", keystore, password)
        if result.returncode == 0:
            return result.stdout, result.stderr
    return None


def _with_password(argv: List[str], option: str, text: bytes, password: str) -> commands.Result:
    """Runs openssl; the password goes through a pipe, never in arguments or an environment."""
    reader, writer = os.pipe()
    try:
        os.write(writer, password.encode("utf-8", "replace") + b"\n")
        os.close(writer)
        return commands.run(argv + [option, "fd:%d" % reader], _SECONDS, input=text, pass_fds=(reader,))
    finally:
        os.close(reader)
