# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks many endpoints at once what they serve, and looks for those that nobody has listed."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple, TypeVar

from . import handshake, openssl
from .handshake import Endpoint, Served

THREADS = 64
_LATE = "not asked: the time for the whole call was over"
# How OpenSSL names what a TLS server answers when it does not want us: somebody speaks TLS there.
_ALERTS = ("TLS: TLSV1_", "TLS: TLSV13_", "TLS: SSLV3_ALERT")

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Question(NamedTuple):
    """What is asked once, however many want to know it."""

    endpoint: Endpoint
    key_type: Optional[str]
    timeout: float


class Place(NamedTuple):
    """What is found at one address and port: the endpoints that speak TLS, else why there are none."""

    shown: List[Tuple[Endpoint, Served]]
    reason: str


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"endpoints": […], "discover": […], "names": […]}`; each list may be left out.

    An endpoint is `{id, address, port, name, starttls, expected_fingerprint, key_type, timeout}`, a place
    to look at is `{address, port, starttls}`. `limit` is the number of seconds that all may take,
    `connect_timeout` those that a connection may, `chain` and `stapling` whether they are wanted.
    """
    prober = _Prober(request)
    wanted = request.get("endpoints") or []
    questions = [_question(one, prober.timeout) for one in wanted]
    answers = dict(prober.each(prober.ask, dict.fromkeys(questions)))
    results = []
    for one, question in zip(wanted, questions):
        result = prober.result(question.endpoint, answers[question])
        expected = one.get("expected_fingerprint")
        result["id"] = one.get("id")
        result["expected_fingerprint"] = expected
        result["matches"] = None if expected is None else answers[question].fingerprint == expected
        results.append(result)
    answer = {"endpoints": results}  # type: Dict[str, Any]
    if request.get("discover"):
        answer["discovery"] = prober.discover(
            request["discover"], {one.endpoint for one in questions}, results
        )
    if prober.wants_stapling:
        prober.staple(results)
    return answer


def _question(one: Dict[str, Any], timeout: float) -> Question:
    endpoint = Endpoint(one["address"], int(one["port"]), one.get("name"), one.get("starttls"))
    return Question(endpoint, one.get("key_type"), float(one.get("timeout") or timeout))


class _Prober:
    """Asks with many threads until its time is over."""

    def __init__(self, request: Dict[str, Any]) -> None:
        self.deadline = time.monotonic() + float(request.get("limit") or 3600.0)
        self.timeout = float(request.get("timeout") or 5.0)
        self.connect_timeout = request.get("connect_timeout")
        self.names = list(request.get("names") or [])
        self.chain = bool(request.get("chain", True))
        self.wants_stapling = bool(request.get("stapling"))
        self.turns = handshake.Turns()

    def each(self, work: Callable[[Item], Answer], items: Iterable[Item]) -> List[Tuple[Item, Answer]]:
        """The answer for each item, in their order."""
        listed = list(items)
        if not listed:
            return []
        with ThreadPoolExecutor(max_workers=min(THREADS, len(listed))) as pool:
            return list(zip(listed, pool.map(work, listed)))

    def ask(self, question: Question) -> Served:
        """What an endpoint serves, or that there was no time left to ask it."""
        with self.turns.turn(question.endpoint, self.deadline - time.monotonic()):
            left = self.deadline - time.monotonic()
            if left <= 0:
                return Served(None, None, None, (), _LATE, 0.0, False)
            timeout = min(question.timeout, left)
            return handshake.ask_for(question.endpoint, question.key_type, timeout, self.connect_timeout)

    def result(self, endpoint: Endpoint, served: Served) -> Dict[str, Any]:
        """What an endpoint serves, in the documented form."""
        return handshake.as_result(endpoint, served, self.chain)

    def discover(
        self, places: List[Dict[str, Any]], known: Set[Endpoint], results: List[Dict[str, Any]]
    ) -> Dict[str, int]:
        """Adds what speaks TLS to the results, but not what was asked for by name; counts the others."""
        addresses = [Endpoint(one["address"], int(one["port"]), None, one.get("starttls")) for one in places]
        counts = {"asked": 0, "closed": 0, "without_tls": 0, "not_asked": 0}
        for _endpoint, place in self.each(self._look, dict.fromkeys(addresses)):
            counts["asked"] += 1
            if not place.shown:
                counts[place.reason] += 1
            for endpoint, served in place.shown:
                if endpoint not in known:
                    found = self.result(endpoint, served)
                    found.update(id=None, expected_fingerprint=None, matches=None)
                    results.append(found)
        return counts

    def _look(self, endpoint: Endpoint) -> Place:
        first = self.ask(Question(endpoint, None, self.timeout))
        if not first.reached:
            return Place([], "not_asked" if first.error == _LATE else "closed")
        asked = [(endpoint, first)]
        for name in self.names:
            named = endpoint._replace(name=name)
            asked.append((named, self.ask(Question(named, None, self.timeout))))
        return Place([one for one in asked if _speaks_tls(one[1])], "without_tls")

    def staple(self, results: List[Dict[str, Any]]) -> None:
        """Asks what is served once more, for the OCSP response that comes with it."""
        served = [one for one in results if one["state"] == "served"]
        for number, stapled in self.each(lambda number: self._stapled(served[number]), range(len(served))):
            served[number]["stapling"] = stapled

    def _stapled(self, result: Dict[str, Any]) -> Optional[Dict[str, Optional[str]]]:
        left = self.deadline - time.monotonic()
        if left <= 0:
            return None
        endpoint = Endpoint(result["address"], result["port"], None)
        timeout = min(self.timeout, left)
        return openssl.stapling(endpoint.listener(), result["starttls"], result["name"], timeout)


def _speaks_tls(served: Served) -> bool:
    return served.fingerprint is not None or (served.error or "").startswith(_ALERTS)
