"""Which part of a name somebody has registered: what CAs count certificates by."""

from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

from notafter.domain.names import is_address


@cache
def _suffixes() -> PublicSuffixList:
    """Read the list of public suffixes that came with the library; it is never fetched."""
    return PublicSuffixList()


@lru_cache(maxsize=65536)
def registered_domain(name: str) -> str:
    """Return the public suffix and one label more: `example.co.uk` of `*.shop.example.co.uk`.

    A name that is itself a suffix, or has one label, stands for itself, and so does an IP address.
    """
    if is_address(name):
        return name
    plain = name.removeprefix("*.")
    return _suffixes().privatesuffix(plain) or plain
