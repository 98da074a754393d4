"""Which names are names: what may stand in a certificate, and what may stand in an inventory."""

import ipaddress
import re
from collections.abc import Iterable

import idna

from notafter.domain.errors import InvalidName

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_INVENTORY = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9._-]{0,252}")
_PROVIDER = re.compile(r"dns_[a-z0-9_]{1,40}")
#: acme.sh keeps variables in a file that it sources: none may be one of its own, or of the shell.
_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_RESERVED = re.compile(
    r"PATH|HOME|IFS|ENV|SHELL|PS[0-9]|BASH.*|LD_.*|LC_.*|LANG|ACME(?!DNS_|PROXY_).*|ACCOUNT_.*|"
    r"CA_.*|CERT_.*|DOMAIN_.*|CSR_.*|LE_.*|Le_.*|DEFAULT_.*|USER_PATH|HTTP_HEADER|HTTPS_INSECURE|NO_.*|LOG_.*|DEBUG.*|SYS_LOG|"
    r"FORCE.*|STAGE|AUTO_.*|NOTIFY_.*|USER_AGENT|OPENSSL.*|CURL.*|WGET.*|PROXY.*|.*_proxy"
)
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_EMAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")
_FOLDER = re.compile(r"/[A-Za-z0-9._/@+-]*")
_DIRECTORY = re.compile(r"https://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/[A-Za-z0-9._~/%-]*")
#: What would end a text in a shell is left out: acme.sh keeps the name in a file that it sources.
_CHAIN = re.compile(r"[\x20-\x26\x28-\x5b\x5d-\x7e]{1,128}")
_NUMBER = re.compile(r"[0-9]{1,15}")
_MAX_NAME = 253
_MAX_NAMES = 100
#: The largest number of a row.
_MOST = 2**31 - 1


def dns_name(text: str) -> str:
    """Return the name as it goes into a certificate: lower case, A-labels, no final dot.

    RFC 1123 §2.1 and RFC 5280 §4.2.1.6; a wildcard is one whole leftmost label (RFC 9525 §6.3).
    """
    name = text.strip().rstrip(".").lower()
    wildcard, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    ascii_name = wildcard + _to_ascii(text, rest)
    labels = ascii_name.removeprefix("*.").split(".")
    if len(ascii_name) > _MAX_NAME:
        raise InvalidName(f"{_shown(text)} is no host name: longer than {_MAX_NAME} characters")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidName(f"{_shown(text)} is no host name")
    if labels[-1].isdigit():
        raise InvalidName(f"{_shown(text)} is no host name: it looks like an address")
    if wildcard and len(labels) < 2:  # noqa: PLR2004 -- `*.com` covers a whole registry
        raise InvalidName(f"{_shown(text)} is no host name: too wide a wildcard")
    return ascii_name


def is_address(name: str) -> bool:
    """Tell whether a name is an IP address, which a certificate can be for as well (RFC 8738)."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def address(text: str) -> str:
    """Return an IP address in its canonical form (RFC 5952); one with a zone is of one link only."""
    found = ipaddress.ip_address(text.strip())
    if isinstance(found, ipaddress.IPv6Address) and found.scope_id is not None:
        raise InvalidName(f"{_shown(text)} has a zone: no certificate can be for it")
    if found.is_unspecified or found.is_multicast:
        raise InvalidName(f"{_shown(text)} is no address of one host")
    return str(found)


def certificate_name(text: str) -> str:
    """Return a name as it goes into a certificate: a host name, or an IP address."""
    return address(text) if is_address(text.strip()) else dns_name(text)


def certificate_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of one certificate, each once, the first one first."""
    names = tuple(dict.fromkeys(certificate_name(text) for text in texts))
    if not names:
        raise InvalidName("a certificate needs at least one name")
    if len(names) > _MAX_NAMES:
        raise InvalidName(f"a certificate can hold {_MAX_NAMES} names, not {len(names)}")
    return names


def inventory_name(text: str) -> str:
    """Return the name if Ansible takes it for a plain host: no pattern, no option, no template."""
    if not _INVENTORY.fullmatch(text):
        raise InvalidName(
            f"{_shown(text)} is no inventory name: letters, digits, '.', '_' and '-' are,"
            " and it must not begin with '-'",
        )
    return text


def dns_provider(text: str) -> str:
    """Return the name if it can be one of acme.sh's DNS hooks, such as `dns_knot`."""
    if not _PROVIDER.fullmatch(text):
        raise InvalidName(f"{_shown(text)} is no DNS provider: they are named like dns_knot")
    return text


def chain_name(text: str) -> str:
    """Return the common name of an issuer if it can be asked for, such as `ISRG Root X1`."""
    if not _CHAIN.fullmatch(text.strip()):
        raise InvalidName(f"{_shown(text)} is no issuer's name that can be asked for")
    return text.strip()


def variable_name(text: str) -> str:
    """Return the name if it can be the name of a DNS hook's variable, such as `KNOT_SERVER`."""
    if not _VARIABLE.fullmatch(text):
        raise InvalidName(f"{_shown(text)} is no variable name")
    if _RESERVED.fullmatch(text):
        raise InvalidName(f"{_shown(text)} is acme.sh's or the shell's own: no DNS provider needs it")
    return text


def profile_name(text: str) -> str:
    """Return the name if it can be one of a CA's profiles, such as `shortlived`."""
    if not _PROFILE.fullmatch(text):
        raise InvalidName(f"{_shown(text)} is no profile: letters, digits, '.', '_' and '-' are")
    return text


def email_address(text: str) -> str:
    """Return the address if acme.sh can be given it."""
    if not _EMAIL.fullmatch(text):
        raise InvalidName(f"{_shown(text)} is no e-mail address")
    return text


def folder(text: str) -> str:
    """Return the path if acme.sh can be given it: absolute, and with nothing that means more to a shell."""
    if not _FOLDER.fullmatch(text) or ".." in text.split("/"):
        raise InvalidName(f"{_shown(text)} is no absolute path of letters, digits and '._/@+-'")
    return text


def directory_url(text: str) -> str:
    """Return the address if it can be an ACME directory's: https, with no query and no password."""
    if not text.startswith("https://"):
        raise InvalidName(f"{_shown(text)} is not an https address")
    if not _DIRECTORY.fullmatch(text):
        raise InvalidName(
            f"{_shown(text)} is no ACME directory: they are like https://ca.example.com/directory"
        )
    return text


def numbered(prefix: str, key: str) -> int | None:
    """Return the number of a key such as `crt-17`, if it is one."""
    found = _NUMBER.fullmatch(key.removeprefix(prefix + "-"))
    number = int(found[0]) if found and key.startswith(prefix + "-") else None
    return number if number is None or number <= _MOST else None


def covers(pattern: str, name: str) -> bool:
    """Tell whether a certificate's name covers a host name (RFC 9525 §6.3)."""
    if pattern == name:
        return True
    return pattern.startswith("*.") and "." in name and name.split(".", 1)[1] == pattern[2:]


def _to_ascii(text: str, name: str) -> str:
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise InvalidName(f"{_shown(text)} is no host name: {error}") from error


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _MAX_NAME else text[:60] + "…")
