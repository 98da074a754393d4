# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keystores on this host: a certificate with its key takes the place of one entry, the others stay.

The password is what the server's own configuration says. It is used here and nowhere else: it is
in no answer, argument, environment or file. docs/decisions/0010 says why we write them ourselves.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import java_keystore, openssl, pem, pkcs12, transaction
from .errors import Refused
from .services import _keys, _keystore
from .services import _keystore_forms as forms

KINDS = ("pkcs12", "jks")
Opening = _keystore.Opening


class Material(NamedTuple):
    """What an entry is to have: certificate and issuers (DER, the leaf first) and the key (PKCS#8)."""

    chain: List[bytes]
    key: bytes


def material(bundle: Dict[str, Any]) -> Material:
    """A bundle as an entry takes it."""
    chain = [pem.der(one) for one in pem.certificates(bundle["certificate"] + "\n" + bundle["chain"])]
    return Material(chain, openssl.key_der(bundle["private_key"].encode("ascii")))


def opening(entry: Dict[str, Any], found: List[Opening]) -> Opening:
    """How a keystore is opened: as the deployment says, else as the server's configuration does."""
    alias = entry.get("alias")
    if entry.get("password_file"):
        return Opening(_first_line(entry["password_file"]), alias, entry["password_file"])
    same = [one for one in found if alias is None or one.alias is None or _same(one.alias, alias)]
    known = [one for one in same + found if one.password is not None]
    if not known:
        told = "the password of %s is in no configuration that could be read"
        remedy = "; name a file on the host that has it as `password_file`"
        raise Refused("no_password", told % entry["path"] + remedy)
    return known[0]._replace(alias=alias or known[0].alias)


def with_entry(data: Optional[bytes], kind: str, wanted: Opening, new: Material) -> bytes:
    """The keystore with the new certificate in the entry that the server shows; as it is if that is there.

    The form is that of the keystore; where there is none yet, that of its `kind`.
    """
    password = wanted.password or ""
    key_password = password if wanted.key_password is None else wanted.key_password
    if not all(_keystore.can_be_sent(one) for one in (password, key_password)):
        raise Refused("no_password", "the password in %s cannot be handed to openssl" % wanted.where)
    form = _form(data) or kind
    if form == forms.JKS:
        return _java(data or java_keystore.empty(password), wanted.alias, new, password, key_password)
    store = pkcs12.read(data, password) if data else pkcs12.empty()
    return _pkcs12(data, store, wanted.alias, new, password, key_password)


def chain(data: bytes, wanted: Opening) -> List[bytes]:
    """The certificate (DER) that a server shows of a keystore, with its issuers; none where none is found."""
    form = forms.contents(data).form
    if form not in forms.KEYSTORES:
        return []
    entry = _keystore.read(data, form, wanted).chosen(wanted.alias)
    return entry.chain if entry is not None else []


def _first_line(path: str) -> str:
    content = transaction.read(path)
    if content is None or not content.strip():
        raise Refused("no_password", "the password file %s is missing or empty" % path)
    try:
        return content.decode("utf-8").splitlines()[0]
    except UnicodeDecodeError as error:
        raise Refused("no_password", "the password file %s is no UTF-8 text" % path) from error


def _form(data: Optional[bytes]) -> Optional[str]:
    if not data:
        return None
    form = forms.contents(data).form
    if form not in forms.KEYSTORES:
        raise Refused("not_ours_to_write", "it is no keystore")
    return form


def _same(one: str, other: str) -> bool:
    return _keystore.folded(one) == _keystore.folded(other)


def _java(data: bytes, alias: Optional[str], new: Material, password: str, key_password: str) -> bytes:
    if not java_keystore.opens(data, password):
        raise Refused("wrong_password", "its password does not open it")
    pieces = java_keystore.pieces(data)
    if alias is None:
        alias = _first_in_java(data)
    old = next((one for one in pieces if alias is not None and _same(one.entry.alias, alias)), None)
    if old is not None and old.entry.has_key and old.entry.chain == new.chain:
        key = java_keystore.key_of(data, old, key_password)
        if key == new.key:
            return data
    name = old.entry.alias if old is not None else (alias or "notafter").lower()
    return java_keystore.replaced(data, old, name, new.chain, new.key, password, key_password)


def _first_in_java(data: bytes) -> Optional[str]:
    """The alias that Java takes where the server names none."""
    chosen = _keystore.read(data, forms.JKS, Opening()).chosen(None)
    return None if chosen is None else chosen.alias


def _pkcs12(  # noqa: PLR0913, PLR0917 - an entry, and how the store and its key are opened
    data: Optional[bytes],
    store: pkcs12.Store,
    alias: Optional[str],
    new: Material,
    password: str,
    key_password: str,
) -> bytes:
    name, old = _key_in(store, alias)
    if data and old is not None and _holds(store, old, new, key_password):
        return data
    return pkcs12.replaced(store, old, name, new.chain, new.key, password, key_password)


def _key_in(store: pkcs12.Store, alias: Optional[str]) -> Tuple[str, Optional[pkcs12.Bag]]:
    """The key of an alias; without one Java takes the first."""
    keys = store.private_keys()
    if alias is None:
        return keys[0] if keys else ("notafter", None)
    taken = [bag for bag in store.bags if bag.trusted and bag.name is not None and _same(bag.name, alias)]
    if taken:
        raise Refused("not_ours_to_write", "its entry %r is a certificate without a key" % alias)
    return next(((name, bag) for name, bag in keys if _same(name, alias)), (alias.lower(), None))


def _holds(store: pkcs12.Store, old: pkcs12.Bag, new: Material, key_password: str) -> bool:
    """Whether an entry has this certificate, these issuers and this key already."""
    if store.chain(old)[: len(new.chain)] != new.chain:
        return False
    key = pkcs12.key_of(old, key_password)
    stated = None if key is None else _keys.of_private(key)
    return stated is not None and stated == _keys.of_certificate(new.chain[0])
