"""Passwords: kept as Argon2id hashes (RFC 9106), made where it is meant to be slow."""

import functools
import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.profiles import RFC_9106_LOW_MEMORY

_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
#: Each takes 64 MiB and a processor for a moment: more at once would be somebody's attack.
_turns = threading.BoundedSemaphore(2)
_WORD = 4
_WORDS = 5
#: Without what is mistaken for something else when it is read and typed.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def hashed(password: str) -> str:
    """Return what is stored of a password."""
    with _turns:
        return _hasher.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Compare a password with a stored hash; without one it takes as long, and is wrong."""
    nobody = _nobody()
    with _turns:
        try:
            _hasher.verify(stored or nobody, password)
        except (Argon2Error, InvalidHashError):
            return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Tell whether a hash was made with less effort than is usual now."""
    return _hasher.check_needs_rehash(stored)


def one_time() -> str:
    """Return a password to be changed at once: 99 bits of chance, in groups that can be read out."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(_WORD)) for _ in range(_WORDS))
    return "-".join(groups)


@functools.cache
def _nobody() -> str:
    """Return a hash that no password has; the first look at any makes it, for whomever that is."""
    return _hasher.hash(secrets.token_urlsafe(32))
