# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of acme.sh, checked before acme.sh sees any of it.

acme.sh keeps its settings in files that it sources in a shell, and does not escape what it
writes there. So every value passes an allow-list here; there is no other way in.
"""

import re
from typing import Any, Dict, List, NamedTuple, Optional

from .errors import Refused

_NAME = re.compile(r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_TOKEN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_PATH = re.compile(r"^/[A-Za-z0-9._/@+-]*$")
_URL = re.compile(r"^https://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/[A-Za-z0-9._~/%-]*$")
_EMAIL = re.compile(r"^[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+$")
_PROVIDER = re.compile(r"^dns_[a-z0-9_]{1,40}$")
_VARIABLE = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}$")
_VALUE = re.compile(r"^[\x20-\x26\x28-\x7e]{0,8192}$")  # printable ASCII without the single quote
_RESERVED = re.compile(
    r"^(PATH|HOME|IFS|ENV|SHELL|PS[0-9]|BASH.*|LD_.*|LC_.*|LANG|ACME.*|ACCOUNT_.*|CA_.*|CERT_.*|DOMAIN_.*|"
    r"CSR_.*|LE_.*|Le_.*|DEFAULT_.*|USER_PATH|HTTP_HEADER|HTTPS_INSECURE|NO_.*|LOG_.*|DEBUG.*|SYS_LOG|"
    r"FORCE.*|STAGE|AUTO_.*|NOTIFY_.*|USER_AGENT|OPENSSL.*|CURL.*|WGET.*|PROXY.*|.*_proxy)$"
)


class Challenge(NamedTuple):
    """How control of the names is proved (RFC 8555 §8)."""

    webroot: str  # what acme.sh calls it: dns_x, `stateless`, or a folder
    dns: bool
    dns_sleep: Optional[int]


class Order(NamedTuple):
    """One checked wish to acme.sh."""

    attempt: str
    names: List[str]
    csr: str
    directory: str
    ca_bundle: Optional[str]
    email: Optional[str]
    profile: Optional[str]
    replaces: Optional[str]
    challenge: Challenge
    dns_variables: Dict[str, str]
    timeout: float

    def challenge_names(self) -> List[str]:
        """The DNS names whose TXT records this order sets, for dns-01."""
        if not self.challenge.dns:
            return []
        return sorted({name[2:] if name.startswith("*.") else name for name in self.names})


def _require(pattern: Any, value: Any, what: str) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        raise Refused("invalid_request", "%r is no valid %s" % (value, what))
    return value


def _optional(pattern: Any, value: Any, what: str) -> Optional[str]:
    return None if value in (None, "") else _require(pattern, value, what)


def checked_names(names: Any) -> List[str]:
    """The names of a certificate; raises Refused naming the first that is no DNS name."""
    if not isinstance(names, list) or not 0 < len(names) <= 100:
        raise Refused("invalid_request", "a certificate needs 1 to 100 names")
    return [_require(_NAME, name, "DNS name (lower case, internationalised names as xn--)") for name in names]


def checked_attempt(attempt: Any) -> str:
    """The name of an attempt; raises Refused when it is none."""
    return _require(_TOKEN, attempt, "name for an attempt")


def checked(request: Dict[str, Any]) -> Order:
    """The order in a request; raises Refused naming the first value that is not fit."""
    names = checked_names(request.get("names"))
    challenge = _challenge(request.get("challenge") or {})
    if not challenge.dns and any(name.startswith("*.") for name in names):
        raise Refused("invalid_request", "a wildcard name can only be proved by dns-01 (RFC 8555 §7.1.3)")
    csr = request.get("csr") or ""
    if not csr.startswith("-----BEGIN CERTIFICATE REQUEST-----"):
        raise Refused("invalid_request", "the request carries no PEM CSR")
    ca, timeout = request.get("ca") or {}, min(3600.0, float(request.get("timeout") or 600))
    if (challenge.dns_sleep or 0) >= timeout:
        told = "dns_sleep (%d s) is not less than the time for the whole attempt (timeout, %d s)"
        raise Refused("invalid_request", told % (challenge.dns_sleep or 0, timeout))
    return Order(
        attempt=checked_attempt(request.get("attempt")),
        names=names,
        csr=csr,
        directory=_require(_URL, ca.get("directory"), "ACME directory URL (https only)"),
        ca_bundle=ca.get("bundle_pem"),
        email=_optional(_EMAIL, ca.get("email"), "e-mail address"),
        profile=_optional(_TOKEN, request.get("profile"), "ACME profile"),
        replaces=request.get("replaces") or None,
        challenge=challenge,
        dns_variables=_variables(request.get("dns_variables") or {}),
        timeout=timeout,
    )


def _challenge(wish: Dict[str, Any]) -> Challenge:
    kind, mode = wish.get("type"), wish.get("mode")
    if kind == "dns-01":
        sleep = wish.get("dns_sleep")
        if sleep is not None and not 0 <= int(sleep) <= 3600:
            raise Refused("invalid_request", "dns_sleep is a number of seconds from 0 to 3600")
        provider = _require(_PROVIDER, wish.get("provider"), "acme.sh DNS provider (dns_…)")
        return Challenge(provider, True, None if sleep is None else int(sleep))
    if kind == "http-01" and mode == "stateless":
        return Challenge("stateless", False, None)
    if kind == "http-01" and mode == "webroot":
        webroot = _require(_PATH, wish.get("webroot"), "web root (an absolute path)")
        if ".." in webroot.split("/"):
            raise Refused("invalid_request", "%r has .. in it" % webroot)
        return Challenge(webroot, False, None)
    raise Refused(
        "invalid_request",
        "challenge %r (mode %r) is not known; there is dns-01, http-01 stateless and http-01 webroot"
        % (kind, mode),
    )


def _variables(wish: Dict[str, Any]) -> Dict[str, str]:
    for name, value in wish.items():
        _require(_VARIABLE, name, "name of a DNS variable")
        if _RESERVED.match(name):
            raise Refused(
                "invalid_request", "%s is acme.sh's or the shell's own; no DNS provider needs it" % name
            )
        if not isinstance(value, str) or not _VALUE.match(value):
            # The value is a secret: it is not shown.
            raise Refused(
                "invalid_request", "the value of %s has a quote or a control character in it" % name
            )
    return dict(wish)
