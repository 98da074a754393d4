"""Chance that is the same each time it is asked: drawn from a hash, so restarts do not move it."""

import hashlib
from functools import lru_cache

_BITS = 53


@lru_cache(maxsize=4096)
def fraction(*parts: object) -> float:
    """Return a number in [0, 1) that depends on the parts alone."""
    text = "|".join(str(part) for part in parts)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return float((int.from_bytes(digest[:8]) >> (64 - _BITS)) / 2**_BITS)
