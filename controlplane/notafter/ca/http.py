"""Asks a CA over HTTPS: within reach, its own roots, short patience, small answers, no redirects."""

import contextlib
import json
import ssl
from dataclasses import dataclass
from typing import Any

import httpx

from notafter.ca.reach import Reach, Way
from notafter.domain.errors import CaUnreachable

_TIMEOUT = httpx.Timeout(10.0)
_MOST_BYTES = 256 * 1024


@dataclass(frozen=True)
class Answer:
    """What a CA said."""

    status: int
    body: Any
    retry_after: str | None


def get(url: str, bundle_pem: str | None, reach: Reach) -> Answer:
    """Return the JSON answer to one GET, or say why there is none; its addresses are tried in turn."""
    ways = reach.ways(url)
    try:
        with httpx.Client(verify=_context(bundle_pem), timeout=_TIMEOUT, trust_env=False) as client:
            for way in ways[:-1]:
                with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return _asked(client, way)
            return _asked(client, ways[-1])
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
        raise CaUnreachable(f"{url} does not answer: {_sentence(error)}") from error


def _asked(client: httpx.Client, way: Way) -> Answer:
    headers, sni = {"Host": way.authority}, {"sni_hostname": way.host}
    with client.stream("GET", way.url, headers=headers, extensions=sni) as response:
        raw = _limited(response)
    return Answer(response.status_code, _parsed(raw), response.headers.get("retry-after"))


def _context(bundle_pem: str | None) -> ssl.SSLContext:
    """Trust the CA's own roots alone where they are given, else those of the system."""
    if bundle_pem is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=bundle_pem)
    return context


def _limited(response: httpx.Response) -> bytes:
    raw = b""
    for chunk in response.iter_bytes():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise CaUnreachable(f"{response.url.host} answers with more than {_MOST_BYTES} bytes")
    return raw


def _parsed(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _sentence(error: Exception) -> str:
    return str(error)[:300] or type(error).__name__
