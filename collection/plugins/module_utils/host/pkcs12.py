# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PKCS#12 (RFC 7292) as it is written: one key with its certificates takes another's place.

Keys of other entries are not opened: their bags are carried over as they are. Certificates that
lay encrypted are told by openssl and come to lie in clear, which every reader takes; they are
public. What is in a keystore and not understood makes us refuse it rather than lose it.
"""

import hashlib
import hmac
import os
import re
from typing import List, NamedTuple, Optional, Tuple

from . import der, openssl
from .errors import Refused
from .services import _keystore
from .services import _keystore_forms as forms

_DATA, _ENCRYPTED = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.6"
_BAGS = "1.2.840.113549.1.12.10.1."
_KEY_BAG, _SHROUDED, _CERTIFICATE_BAG = (der.identifier(_BAGS + kind) for kind in "123")
_X509 = "1.2.840.113549.1.9.22.1"
_NAME, _KEY_ID = "1.2.840.113549.1.9.20", "1.2.840.113549.1.9.21"
_TRUSTED = "2.16.840.1.113894.746875.1.1"  # Java's mark of a certificate that stands for itself
_ANY_USAGE = "2.5.29.37.0"
_PBES2 = der.identifier("1.2.840.113549.1.5.13")
#: The digests of a seal (RFC 7292 §4) by their identifiers, with the size of a block (RFC 7292 B.2).
_DIGESTS = {
    der.identifier("1.3.14.3.2.26"): ("sha1", 64),
    der.identifier("2.16.840.1.101.3.4.2.1"): ("sha256", 64),
    der.identifier("2.16.840.1.101.3.4.2.2"): ("sha384", 128),
    der.identifier("2.16.840.1.101.3.4.2.3"): ("sha512", 128),
}
_SHA256 = der.identifier("2.16.840.1.101.3.4.2.1")
_ITERATIONS = 10000
_MOST_ITERATIONS = 5000000
_PRINTED = re.compile(rb"^    ([^:\n]+): ?(.*)$", re.MULTILINE)
_BAG_PRINTED = re.compile(rb"^([A-Z][\w ]* [Bb]ag|Shrouded Keybag|Key bag)\b", re.MULTILINE)


class Bag(NamedTuple):
    """One thing in a keystore: its own bytes, and what Java tells it by."""

    whole: bytes
    kind: bytes
    name: Optional[str]
    key_id: Optional[bytes]
    trusted: bool
    certificate: Optional[bytes] = None


class Store(NamedTuple):
    """A keystore taken apart: its bags, and the seal's digest and iterations (None: it has none)."""

    bags: List[Bag]
    digest: Optional[bytes]
    iterations: int

    def private_keys(self) -> "List[Tuple[str, Bag]]":
        """The keys by alias; what has no name is called by its number, as Java does."""
        found = []
        nameless = 0
        for bag in self.bags:
            if bag.kind in (_KEY_BAG, _SHROUDED):
                nameless += bag.name is None
                found.append((str(nameless) if bag.name is None else bag.name, bag))
        return found

    def leaf(self, key: Bag) -> Optional[bytes]:
        """The certificate of a key."""
        own = [bag.certificate for bag in self.bags if bag.certificate and bag.key_id == key.key_id]
        return own[0] if own and key.key_id is not None else None

    def chain(self, key: Bag) -> List[bytes]:
        """The certificate of a key and its issuers in this keystore."""
        leaf = self.leaf(key)
        heap = [bag.certificate for bag in self.bags if bag.certificate]
        return [] if leaf is None else forms.chain(leaf, forms.by_subject(heap))


def empty() -> Store:
    """A keystore with nothing in it."""
    return Store([], _SHA256, _ITERATIONS)


def read(data: bytes, password: str) -> Store:
    """Takes a keystore apart; Refused where the password is another or something is not understood."""
    try:
        return _read(data, password)
    except (IndexError, ValueError) as error:  # something in it is not what stands there in every keystore
        raise _not_understood("it is damaged, or made otherwise than others are") from error


def _read(data: bytes, password: str) -> Store:
    parts = der.node(data).children()
    content = _content(parts[1])
    digest, iterations = _require_seal(parts[2:], content, password)
    bags: List[Bag] = []
    for info in der.node(content).children():
        kind = info.children()[0].whole
        if kind == der.identifier(_DATA):
            bags.extend(_bag(one) for one in der.node(_content(info)).children())
        elif kind == der.identifier(_ENCRYPTED):
            bags.extend(_encrypted(info.whole, password))
        else:
            raise _not_understood("a part of it is neither plain nor encrypted by its password")
    return Store(bags, digest, iterations)


def replaced(  # noqa: PLR0913, PLR0917 - an entry, and how the store and its key are opened
    store: Store,
    old: Optional[Bag],
    alias: str,
    chain: List[bytes],
    key: bytes,
    password: str,
    key_password: str,
) -> bytes:
    """The keystore with a new entry in the place of an old one."""
    kept = _without(store, old)
    key_id = hashlib.sha1(chain[0]).digest()  # noqa: S324 - a name for the pair, as openssl makes it
    name = alias if old is None or old.name is not None else None
    modern = old is None or _PBES2 in old.whole
    shrouded = openssl.shrouded(key, key_password, modern=modern)
    new_key = _bag_of(_SHROUDED, shrouded, name, key_id)
    issuers = [one for one in chain[1:] if one not in [bag.certificate for bag in kept]]
    certificates = [_certificate_bag(chain[0], name, key_id)] + [_certificate_bag(one) for one in issuers]
    bags = [bag.whole for bag in kept]
    place = next((at for at, bag in enumerate(kept) if old is not None and bag is old), None)
    if place is None:
        bags.append(new_key)
    else:
        bags[place] = new_key
    return _sealed(der.encoded(der.SEQUENCE, *(certificates + bags)), store, password)


def key_of(bag: Bag, key_password: str) -> Optional[bytes]:
    """The private key of a bag as PEM; None where the password is another."""
    body = der.node(bag.whole).children()[1].content
    return openssl.opened(body, key_password if bag.kind == _SHROUDED else None)


def _without(store: Store, old: Optional[Bag]) -> List[Bag]:
    """What stays: all but the old certificate and those of its issuers that no other key needs.

    The old key's bag keeps its place for the new one.
    """
    if old is None:
        return list(store.bags)
    others = [bag for _alias, bag in store.private_keys() if bag is not old]
    needed = [one for key in others for one in store.chain(key)]
    gone = [one for one in store.chain(old) if one not in needed]
    return [
        bag
        for bag in store.bags
        if bag.certificate is None or bag.trusted or bag.certificate not in gone or bag.certificate in needed
    ]


def _content(info: der.Node) -> bytes:
    """What is in a ContentInfo of kind Data."""
    return der.node(info.children()[1].content).content


def _require_seal(parts: List[der.Node], content: bytes, password: str) -> Tuple[Optional[bytes], int]:
    """Holds the seal against the password; gives its digest and iterations."""
    if not parts:
        return None, _ITERATIONS
    fields = parts[0].children()
    algorithm, seal = fields[0].children()
    digest = algorithm.children()[0].whole
    iterations = fields[2].number() if len(fields) > 2 else 1
    if digest not in _DIGESTS or not 0 < iterations <= _MOST_ITERATIONS:
        raise _not_understood("its seal is of a kind that is not known here")
    if not hmac.compare_digest(_seal(digest, content, password, fields[1].content, iterations), seal.content):
        raise Refused("wrong_password", "its password does not open it")
    return digest, iterations


def _bag(one: der.Node) -> Bag:
    fields = one.children()
    kind = fields[0].whole
    name = key_id = certificate = None
    trusted = False
    for attribute in fields[2].children() if len(fields) > 2 else []:
        identifier, values = attribute.children()
        value = values.children()[0] if values.children() else None
        if value is not None and identifier.whole == der.identifier(_NAME):
            name = value.content.decode("utf-16-be", "surrogatepass")
        elif value is not None and identifier.whole == der.identifier(_KEY_ID):
            key_id = value.content
        trusted = trusted or identifier.whole == der.identifier(_TRUSTED)
    if kind == _CERTIFICATE_BAG:
        held = der.node(fields[1].content).children()
        if held[0].whole != der.identifier(_X509):
            raise _not_understood("a certificate in it is not X.509")
        certificate = der.node(held[1].content).content
    return Bag(one.whole, kind, name, key_id, trusted, certificate)


def _encrypted(info: bytes, password: str) -> List[Bag]:
    """The certificates of a part that is encrypted, as openssl tells them."""
    part = der.encoded(der.OCTETS, der.encoded(der.SEQUENCE, info))
    plain = der.encoded(der.SEQUENCE, der.identifier(_DATA), der.encoded(der.FIRST, part))
    alone = der.encoded(der.SEQUENCE, der.integer(3), plain)
    told = openssl.bags(alone, password)
    if told is None:
        raise _not_understood("openssl does not open its encrypted part")
    printed, about = told
    if any(b"certificate" not in kind.lower() for kind in _BAG_PRINTED.findall(about)):
        raise _not_understood("its encrypted part has more in it than certificates")
    return list(_printed_bags(printed))


def _printed_bags(printed: bytes) -> List[Bag]:
    found = []
    at = 0
    for block in _keystore.PEM.finditer(printed):
        attributes = dict(_PRINTED.findall(printed[at : block.start()]))
        at = block.end()
        certificate = forms.contents(block.group()).certificates[0]
        name = attributes.pop(b"friendlyName", None)
        key_id = attributes.pop(b"localKeyID", None)
        trusted = any(attributes.pop(mark, None) is not None for mark in (_TRUSTED.encode(), _ORACLE))
        if attributes:
            raise _not_understood("a certificate in it bears %s" % _said(next(iter(attributes))))
        text = None if name is None else name.decode("latin-1")
        bits = None if key_id is None else bytes.fromhex(_said(key_id))
        whole = _certificate_bag(certificate, text, bits, trusted)
        found.append(Bag(whole, _CERTIFICATE_BAG, text, bits, trusted, certificate))
    return found


_ORACLE = b"Trusted key usage (Oracle)"


def _said(text: bytes) -> str:
    return text.decode("ascii", "backslashreplace").strip()


def _certificate_bag(
    certificate: bytes, name: Optional[str] = None, key_id: Optional[bytes] = None, trusted: bool = False
) -> bytes:
    value = der.encoded(der.FIRST, der.encoded(der.OCTETS, certificate))
    held = der.encoded(der.SEQUENCE, der.identifier(_X509), value)
    return _bag_of(_CERTIFICATE_BAG, held, name, key_id, trusted)


def _bag_of(
    kind: bytes, held: bytes, name: Optional[str], key_id: Optional[bytes], trusted: bool = False
) -> bytes:
    attributes = []
    if name is not None:
        text = der.encoded(der.BMP, name.encode("utf-16-be", "surrogatepass"))
        attributes.append(_attribute(_NAME, text))
    if key_id is not None:
        attributes.append(_attribute(_KEY_ID, der.encoded(der.OCTETS, key_id)))
    if trusted:
        attributes.append(_attribute(_TRUSTED, der.identifier(_ANY_USAGE)))
    described = [der.encoded(der.SET, *sorted(attributes))] if attributes else []
    return der.encoded(der.SEQUENCE, kind, der.encoded(der.FIRST, held), *described)


def _attribute(identifier: str, value: bytes) -> bytes:
    return der.encoded(der.SEQUENCE, der.identifier(identifier), der.encoded(der.SET, value))


def _sealed(contents: bytes, store: Store, password: str) -> bytes:
    """The whole keystore around its contents, with a seal where it had one."""
    info = _info(contents)
    whole = der.encoded(der.SEQUENCE, info)
    parts = [der.integer(3), _info(whole)]
    if store.digest is not None:
        salt = os.urandom(20)
        seal = _seal(store.digest, whole, password, salt, store.iterations)
        algorithm = der.encoded(der.SEQUENCE, store.digest, der.encoded(der.NULL))
        told = der.encoded(der.SEQUENCE, algorithm, der.encoded(der.OCTETS, seal))
        fields = [told, der.encoded(der.OCTETS, salt), der.integer(store.iterations)]
        parts.append(der.encoded(der.SEQUENCE, *fields))
    return der.encoded(der.SEQUENCE, *parts)


def _info(content: bytes) -> bytes:
    held = der.encoded(der.FIRST, der.encoded(der.OCTETS, content))
    return der.encoded(der.SEQUENCE, der.identifier(_DATA), held)


def _seal(digest: bytes, content: bytes, password: str, salt: bytes, iterations: int) -> bytes:
    """The HMAC over the contents, with a key that is derived from the password (RFC 7292 B.2, ID 3)."""
    name, block = _DIGESTS[digest]
    secret = password.encode("utf-16-be", "surrogatepass") + b"\0\0"
    material = bytes([3]) * block + _stretched(salt, block) + _stretched(secret, block)
    key = hashlib.new(name, material).digest()
    for _turn in range(iterations - 1):
        key = hashlib.new(name, key).digest()
    return hmac.new(key, content, name).digest()


def _stretched(text: bytes, block: int) -> bytes:
    """A text again and again until it fills whole blocks."""
    size = -(-len(text) // block) * block
    return (text * (size // len(text) + 1))[:size] if text else b""


def _not_understood(why: str) -> Refused:
    remedy = "; make it anew with `keytool -importkeystore`, or let the server read PEM files"
    return Refused("keystore_not_understood", why + remedy)
