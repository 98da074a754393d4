"""Seals secrets so that a copied database is worthless and a moved value does not open.

Each secret has a data key of its own (AES-256-GCM), itself sealed by the key-encryption
key. Where the secret lives (table, row, column) is authenticated with it.
"""

import base64
import binascii
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from notafter.custody.kek import SIZE, Kek
from notafter.domain.errors import SealBroken, WrongKey

_FORMAT = "v1"
_NONCE = 12
_PARTS = 4


@dataclass(frozen=True)
class Place:
    """Where a sealed value lives; opening it anywhere else fails."""

    table: str
    row: int
    column: str

    def __bytes__(self) -> bytes:
        """Return the data that is authenticated with the value."""
        return f"{self.table}|{self.row}|{self.column}".encode()


class Custodian:
    """Holds the key-encryption key; the only one who seals and opens."""

    def __init__(self, kek: Kek) -> None:
        """Take the key into custody."""
        self._kek = kek
        self.key_id = kek.id

    def seal(self, secret: bytes, place: Place) -> str:
        """Return the secret as text for the database: `v1.key.datakey.value`."""
        data_key = secrets.token_bytes(SIZE)
        wrapped = _encrypt(self._kek.material, data_key, self._header(place))
        value = _encrypt(data_key, secret, bytes(place))
        return f"{_FORMAT}.{self.key_id}.{wrapped}.{value}"

    def open(self, sealed: str, place: Place) -> bytes:
        """Return the secret, if it was sealed with this key for this place and not changed."""
        parts = sealed.split(".")
        if len(parts) != _PARTS or parts[0] != _FORMAT:
            raise SealBroken(f"what is stored in {place.table}.{place.column} is no sealed value")
        if parts[1] != self.key_id:
            raise WrongKey(f"sealed with the key {parts[1]}, this process has {self.key_id}")
        try:
            data_key = _decrypt(self._kek.material, parts[2], self._header(place))
            return _decrypt(data_key, parts[3], bytes(place))
        except (InvalidTag, ValueError, binascii.Error) as error:
            where = f"{place.table} {place.row}, {place.column}"
            raise SealBroken(f"the sealed value of {where} was changed or moved") from error

    def _header(self, place: Place) -> bytes:
        return f"{_FORMAT}|{self.key_id}|".encode() + bytes(place)


def _encrypt(key: bytes, plain: bytes, bound_to: bytes) -> str:
    nonce = secrets.token_bytes(_NONCE)
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, plain, bound_to)).decode()


def _decrypt(key: bytes, text: str, bound_to: bytes) -> bytes:
    raw = base64.b64decode(text, altchars=b"-_", validate=True)
    return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], bound_to)
