# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of acme.sh, checked before acme.sh sees any of it.

acme.sh keeps its settings in files that it sources in a shell, and does not escape what it
writes there. So every value passes an allow-list here; there is no other way in.
"""

import re
from typing import Any, Dict, List, NamedTuple, Optional

from . import jose, names, pem
from .errors import Refused
from .registration import Binding

_ALIAS = re.compile(r"^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_TOKEN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_PATH = re.compile(r"^/[A-Za-z0-9._/@+-]*\Z")
_URL = re.compile(r"^https://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/[A-Za-z0-9._~/%-]*\Z")
_EMAIL = re.compile(r"^[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+\Z")
_PROVIDER = re.compile(r"^dns_[a-z0-9_]{1,40}\Z")
_VARIABLE = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}\Z")
_VALUE = re.compile(r"^[\x20-\x26\x28-\x7e]{0,8192}\Z")  # printable ASCII without the single quote
_KEY_ID = re.compile(r"^[\x21-\x26\x28-\x7e]{1,256}\Z")
_CHAIN = re.compile(r"^[\x20-\x26\x28-\x5b\x5d-\x7e]{1,128}\Z")
_RESERVED = re.compile(
    r"^(PATH|HOME|IFS|ENV|SHELL|PS[0-9]|BASH.*|LD_.*|LC_.*|LANG|ACME(?!DNS_|PROXY_).*|ACCOUNT_.*|CA_.*|CERT_.*|DOMAIN_.*|"
    r"CSR_.*|LE_.*|Le_.*|DEFAULT_.*|USER_PATH|HTTP_HEADER|HTTPS_INSECURE|NO_.*|LOG_.*|DEBUG.*|SYS_LOG|"
    r"FORCE.*|STAGE|AUTO_.*|NOTIFY_.*|USER_AGENT|OPENSSL.*|CURL.*|WGET.*|PROXY.*|.*_proxy)$"
)


class Challenge(NamedTuple):
    """How control of the names is proved (RFC 8555 §8)."""

    webroot: str  # what acme.sh calls it: dns_x, `stateless`, `no` (standalone), `alpn`, or a folder
    dns: bool = False
    dns_sleep: Optional[int] = None
    alias: Optional[str] = None  # the name of the TXT records, where it is not that of the certificate
    port: Optional[int] = None  # where acme.sh itself listens


class Order(NamedTuple):
    """One checked wish to acme.sh."""

    attempt: str
    names: List[str]
    csr: str
    directory: str
    ca_bundle: Optional[str]
    email: Optional[str]
    binding: Optional[Binding]
    profile: Optional[str]
    preferred_chain: Optional[str]
    replaces: Optional[str]
    challenge: Challenge
    dns_variables: Dict[str, str]
    timeout: float
    check_caa: bool

    def challenge_names(self) -> List[str]:
        """The DNS names whose TXT records this order sets, for dns-01."""
        if not self.challenge.dns:
            return []
        if self.challenge.alias:
            return [self.challenge.alias]
        own = {name[2:] if name.startswith("*.") else name for name in self.names}
        return sorted("_acme-challenge." + name for name in own)


def _require(pattern: Any, value: Any, what: str) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        raise Refused("invalid_request", "%r is no valid %s" % (value, what))
    return value


def _optional(pattern: Any, value: Any, what: str) -> Optional[str]:
    return None if value in (None, "") else _require(pattern, value, what)


def checked_attempt(attempt: Any) -> str:
    """The name of an attempt; raises Refused when it is none."""
    return _require(_TOKEN, attempt, "name for an attempt")


def checked(request: Dict[str, Any]) -> Order:
    """The order in a request; raises Refused naming the first value that is not fit."""
    wanted = names.checked(request.get("names"))
    challenge = _challenge(request.get("challenge") or {})
    _provable(wanted, challenge)
    csr = request.get("csr") or ""
    if not csr.startswith("-----BEGIN CERTIFICATE REQUEST-----"):
        raise Refused("invalid_request", "the request carries no PEM CSR")
    ca, timeout = request.get("ca") or {}, min(3600.0, float(request.get("timeout") or 600))
    if (challenge.dns_sleep or 0) >= timeout:
        told = "dns_sleep (%d s) is not less than the time for the whole attempt (timeout, %d s)"
        raise Refused("invalid_request", told % (challenge.dns_sleep or 0, timeout))
    return Order(
        attempt=checked_attempt(request.get("attempt")),
        names=wanted,
        csr=csr,
        directory=checked_directory(ca),
        ca_bundle=ca.get("bundle_pem"),
        email=checked_email(ca),
        binding=checked_binding(ca, request.get("account") or {}),
        profile=_optional(_TOKEN, request.get("profile"), "ACME profile"),
        preferred_chain=_optional(_CHAIN, request.get("preferred_chain"), "common name of an issuer"),
        replaces=_replaced(request.get("replaces")),
        challenge=challenge,
        dns_variables=_variables(request.get("dns_variables") or {}),
        timeout=timeout,
        check_caa=bool(request.get("check_caa")),
    )


def checked_directory(ca: Dict[str, Any]) -> str:
    """The directory URL of a CA; raises Refused when it is none."""
    return _require(_URL, ca.get("directory"), "ACME directory URL (https only)")


def checked_email(ca: Dict[str, Any]) -> Optional[str]:
    """The contact of an account; raises Refused when it is no address."""
    return _optional(_EMAIL, ca.get("email"), "e-mail address")


def checked_binding(ca: Dict[str, Any], account: Dict[str, Any]) -> Optional[Binding]:
    """What binds the account outside of ACME (RFC 8555 §7.3.4), if the CA wants that."""
    key_id, hmac_key = _optional(_KEY_ID, ca.get("eab_key_id"), "EAB key id"), account.get("eab_hmac_key")
    if key_id is None:
        if hmac_key:
            raise Refused("invalid_request", "there is an EAB HMAC key, and the CA has no eab_key_id")
        return None
    decoded = jose.from_base64url(hmac_key) if isinstance(hmac_key, str) else None
    if hmac_key and decoded is None:  # a secret: it is not shown
        raise Refused("invalid_request", "the EAB HMAC key of %s is not base64url, as CAs give it" % key_id)
    return Binding(key_id, decoded or b"")


def _replaced(certificate: Any) -> Optional[str]:
    """The certificate that the new one replaces, if it is one."""
    if not certificate:
        return None
    if not isinstance(certificate, str) or not pem.certificates(certificate):
        raise Refused("invalid_request", "what the certificate replaces (`replaces`) is no PEM certificate")
    return pem.certificates(certificate)[0]


def _provable(wanted: List[str], challenge: Challenge) -> None:
    """Raises Refused where the challenge can never prove one of the names."""
    if not challenge.dns and any(name.startswith("*.") for name in wanted):
        raise Refused("invalid_request", "a wildcard name can only be proved by dns-01 (RFC 8555 §7.1.3)")
    addresses = [name for name in wanted if names.is_address(name)]
    if challenge.dns and addresses:
        told = "the address %s cannot be proved by dns-01 (RFC 8738 §7): use http-01 or tls-alpn-01"
        raise Refused("invalid_request", told % addresses[0])


def _challenge(wish: Dict[str, Any]) -> Challenge:
    kind, mode = wish.get("type"), wish.get("mode")
    if kind == "dns-01":
        return _dns(wish)
    if kind == "tls-alpn-01":
        return Challenge("alpn", port=_port(wish, 443))
    if kind == "http-01" and mode == "stateless":
        return Challenge("stateless")
    if kind == "http-01" and mode == "standalone":
        return Challenge("no", port=_port(wish, 80))
    if kind == "http-01" and mode == "webroot":
        webroot = _require(_PATH, wish.get("webroot"), "web root (an absolute path)")
        if ".." in webroot.split("/"):
            raise Refused("invalid_request", "%r has .. in it" % webroot)
        return Challenge(webroot)
    raise Refused(
        "invalid_request",
        "challenge %r (mode %r) is not known; there is dns-01, http-01 (mode stateless, webroot or"
        " standalone) and tls-alpn-01" % (kind, mode),
    )


def _dns(wish: Dict[str, Any]) -> Challenge:
    sleep = wish.get("dns_sleep")
    if sleep is not None and (not re.match(r"^[0-9]{1,4}\Z", str(sleep)) or int(sleep) > 3600):
        raise Refused("invalid_request", "dns_sleep is a number of seconds from 0 to 3600, not %r" % (sleep,))
    alias = _optional(_ALIAS, wish.get("alias"), "alias (a DNS name)")
    whole = _optional(_ALIAS, wish.get("domain_alias"), "domain_alias (a DNS name)")
    if alias and whole:
        raise Refused("invalid_request", "a challenge has an alias or a domain_alias, not both")
    return Challenge(
        _require(_PROVIDER, wish.get("provider"), "acme.sh DNS provider (dns_…)"),
        dns=True,
        dns_sleep=None if sleep is None else int(sleep),
        alias="_acme-challenge." + alias if alias else whole,
    )


def _port(wish: Dict[str, Any], usual: int) -> int:
    port = wish.get("port")
    if port in (None, ""):
        return usual
    if isinstance(port, bool) or not re.match(r"^[0-9]{1,5}\Z", str(port)) or not 0 < int(port) < 65536:
        raise Refused("invalid_request", "%r is no port to listen on (1 to 65535)" % (port,))
    return int(port)


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
