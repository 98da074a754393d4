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

from notafter.custody.kek import SIZE, Kek, KekSource
from notafter.domain import seal
from notafter.domain.errors import SealBroken, WrongKey

_NONCE = 12


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
    """Holds the key-encryption key; the only one who seals and opens.

    It seals with what its source says now, and opens with whatever its source still has: a rotation may
    exchange the key while this process runs.
    """

    def __init__(self, kek: Kek, source: KekSource | None = None) -> None:
        """Take the key into custody."""
        self._held = {kek.id: kek}
        self._source = source
        self.key_id = kek.id

    def seal(self, secret: bytes, place: Place) -> str:
        """Return the secret as text for the database: `v1.key.datakey.value`."""
        kek, data_key = self._newest(), secrets.token_bytes(SIZE)
        return _written(kek, _wrap(kek, data_key, place), _encrypt(data_key, secret, bytes(place)))

    def open(self, sealed: str, place: Place) -> bytes:
        """Return the secret, if it was sealed with a key of ours for this place and not changed."""
        data_key, value = self._unwrap(sealed, place)
        try:
            return _decrypt(data_key, value, bytes(place))
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise _broken(place) from error

    def reseal(self, sealed: str, place: Place, kek: Kek) -> str:
        """Return a sealed value under another key: its data key is wrapped anew, itself stays closed."""
        data_key, value = self._unwrap(sealed, place)
        return _written(kek, _wrap(kek, data_key, place), value)

    def holds(self, key_id: str) -> bool:
        """Tell whether there is such a key here."""
        if key_id not in self._held and self._source is not None:
            found = self._source.find(key_id)
            if found is not None:
                self._held[key_id] = found
        return key_id in self._held

    def turn_to(self, kek: Kek) -> None:
        """Seal with another key from now on; what is sealed with this one still opens."""
        self._held[kek.id] = kek
        self.key_id = kek.id

    def _newest(self) -> Kek:
        fresh = self._source.fresh() if self._source is not None else None
        if fresh is not None:
            self.turn_to(fresh)
        return self._held[self.key_id]

    def _unwrap(self, sealed: str, place: Place) -> tuple[bytes, str]:
        """Return the data key of a sealed value, and the value, which stays closed."""
        key_id = seal.key_id(sealed)
        if not key_id:
            raise SealBroken(f"what is stored in {place.table}.{place.column} is no sealed value")
        if not self.holds(key_id):
            raise WrongKey(f"sealed with the key {key_id}, this process has {self.key_id}")
        _, _, wrapped, value = sealed.split(".")
        try:
            return _decrypt(self._held[key_id].material, wrapped, _header(key_id, place)), value
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise _broken(place) from error


def _wrap(kek: Kek, data_key: bytes, place: Place) -> str:
    return _encrypt(kek.material, data_key, _header(kek.id, place))


def _written(kek: Kek, wrapped: str, value: str) -> str:
    return f"{seal.FORMAT}.{kek.id}.{wrapped}.{value}"


def _header(key_id: str, place: Place) -> bytes:
    return f"{seal.FORMAT}|{key_id}|".encode() + bytes(place)


def _broken(place: Place) -> SealBroken:
    where = f"{place.table} {place.row}, {place.column}"
    return SealBroken(f"the sealed value of {where} was changed or moved")


def _encrypt(key: bytes, plain: bytes, bound_to: bytes) -> str:
    nonce = secrets.token_bytes(_NONCE)
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, plain, bound_to)).decode()


def _decrypt(key: bytes, text: str, bound_to: bytes) -> bytes:
    raw = base64.b64decode(text, altchars=b"-_", validate=True)
    return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], bound_to)
