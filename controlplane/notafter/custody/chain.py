"""Chains entries, so that one that was changed, removed or put in shows (HMAC-SHA-256, RFC 2104).

With a key, not a bare hash: whoever can write the database cannot make the chain anew.
"""

import hashlib
import hmac
import secrets

_KEY_BYTES = 32
#: What stands before the first entry.
START = "0" * 64


def make_key() -> bytes:
    """Return a new key."""
    return secrets.token_bytes(_KEY_BYTES)


def link(key: bytes, before: str, text: str) -> str:
    """Return the link of an entry that follows another one."""
    return hmac.new(key, f"{before}\n{text}".encode(), hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare two links."""
    return hmac.compare_digest(one, other)
