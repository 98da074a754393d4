# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host's own listeners show for what a scan has found: a file on the disk is not yet served.

Each endpoint is asked once, a few endpoints for each binding, all within a share of the scan's time,
and only at addresses that are this host's: a virtual address may be another machine's at the moment.
"""

import collections
import hashlib
import ssl
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from . import handshake, listening, pem
from .errors import HostError

EACH = 3.0
#: The most endpoints that are asked: for one binding, and for all.
FOR_ONE = 4
FOR_ALL = 1000
WORKERS = 8
#: How long is waited, each time, before who takes no more is asked once more.
PAUSES = (0.2, 0.5, 1.0)
_KINDS = (("ec", bytes.fromhex("06072a8648ce3d0201")), ("rsa", bytes.fromhex("06092a864886f70d010101")))
_NAMES = bytes.fromhex("0603551d11")


class Claim(NamedTuple):
    """What a binding (by its number) says of a listener and name: that its certificate is shown there."""

    binding: int
    listener: str
    endpoint: handshake.Endpoint


#: One handshake: where, for which name, and for which kind of key where several certificates serve there.
Question = Tuple[handshake.Endpoint, Optional[str]]


def look(found: Dict[str, Any], process_names: Dict[str, Sequence[str]], seconds: float) -> None:
    """Writes into each binding of a scan's answer what is served (`served`), and keeps what was shown."""
    claims = _claims(found)
    questions = _questions(claims, found)
    wanted = list(dict.fromkeys(questions))
    answers, turned_away = _ask(wanted[:FOR_ALL], seconds)
    holders = listening.Holders()
    for claim, question in zip(claims, questions):
        if question in answers:
            binding = found["bindings"][claim.binding]
            own = process_names.get(binding["service"]) or ()
            binding["served"].append(_told(claim, binding, answers[question], holders, own))
    for served in answers.values():
        _keep(found["certificates"], served)
    for place, error in sorted(turned_away.items()):
        _warn(found, "what is shown at %s is not known: %s" % (place, error))
    missing = len(wanted) - len(answers)
    if missing and not turned_away:
        told = "%d of %d endpoints were not asked what they show: they are too many for the time"
        _warn(found, told % (missing, len(wanted)))


def _claims(found: Dict[str, Any]) -> List[Claim]:
    """What is to be asked; the first endpoint of every binding comes before the second of any."""
    own = set(found["server"].get("addresses") or ())
    strange: Set[str] = set()
    rows = []
    for binding in found["bindings"]:
        binding["served"] = []
    for number, binding in enumerate(found["bindings"]):
        certificate = found["certificates"].get(binding["certificate"] or "")
        if certificate is not None:
            rows.append(_of_binding(number, binding, certificate["pem"], own, strange))
    for address in sorted(strange):
        _warn(found, "%s is no address of this host now: what it shows was not asked" % address)
    return [row[turn] for turn in range(FOR_ONE) for row in rows if turn < len(row)]


def _of_binding(
    number: int, binding: Dict[str, Any], certificate: str, own: Set[str], strange: Set[str]
) -> List[Claim]:
    names = list(binding["names"])
    if not names and binding["own_names"]:
        names = dns_names(pem.der(certificate))
        if not names:
            return []
    asked = [name for name in names if not name.startswith("~") and handshake.probe_name(name)]
    if names and not asked:
        return []  # a regular expression cannot be asked for, and no name would be another question
    claims = []
    for listener in binding["listeners"]:
        try:
            endpoints = handshake.endpoints([listener], asked, limit=FOR_ONE)
        except HostError:
            continue  # a socket in the file system, or a name
        if _is_own(endpoints[0].address, own):
            claims.append([Claim(number, listener, endpoint) for endpoint in endpoints])
        else:
            strange.add(endpoints[0].address)
    turns = [row[turn] for turn in range(FOR_ONE) for row in claims if turn < len(row)]
    return turns[:FOR_ONE]


def _is_own(address: str, own: Set[str]) -> bool:
    return address in own or address == "::1" or address.startswith("127.")


def _questions(claims: List[Claim], found: Dict[str, Any]) -> List[Question]:
    """Where several certificates claim one endpoint, each is asked for by its own kind of key."""
    claimed: Dict[handshake.Endpoint, Set[str]] = {}
    leaves = [found["bindings"][claim.binding]["certificate"] for claim in claims]
    for claim, leaf in zip(claims, leaves):
        claimed.setdefault(claim.endpoint, set()).add(leaf)
    questions: List[Question] = []
    for claim, leaf in zip(claims, leaves):
        several = len(claimed[claim.endpoint]) > 1
        kind = key_type(pem.der(found["certificates"][leaf]["pem"])) if several else None
        questions.append((claim.endpoint, kind))
    return questions


def _ask(
    questions: List[Question], seconds: float
) -> Tuple[Dict[Question, handshake.Served], Dict[str, str]]:
    """The answers that came in time; and by listener why it, or this process, could take no more."""
    asker = _Asker(questions, time.monotonic() + seconds)
    threads = []
    for _number in range(min(WORKERS, len(questions)) - 1):
        thread = threading.Thread(target=asker.work, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: those that there are do it
            break
        threads.append(thread)
    asker.work()
    for thread in threads:
        thread.join()
    return asker.answers, asker.turned_away


class _Asker:
    """Questions that several threads take one after the other."""

    def __init__(self, questions: List[Question], deadline: float) -> None:
        self.waiting = collections.deque(questions)
        self.deadline = deadline
        self.turns = handshake.Turns()
        self.answers: Dict[Question, handshake.Served] = {}
        self.turned_away: Dict[str, str] = {}

    def work(self) -> None:
        while self._left() > 0:
            try:
                question = self.waiting.popleft()
            except IndexError:
                return
            try:
                self._ask(question)
            except Exception as error:  # noqa: BLE001 - one question must not end those after it
                self.turned_away[question[0].listener()] = "%s: %s" % (type(error).__name__, error)

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _ask(self, question: Question) -> None:
        """Asks, and asks again for a while where too much is asked at once."""
        error = None
        for pause in PAUSES:
            served = self._in_turn(question)
            if served is None:
                break
            if not served.turned_away:
                self.answers[question] = served
                return
            error = served.error
            time.sleep(min(pause, max(0.0, self._left())))
        if error is not None:
            self.turned_away[question[0].listener()] = error

    def _in_turn(self, question: Question) -> Optional[handshake.Served]:
        """What is served; None where the turn did not come in time."""
        with self.turns.turn(question[0], self._left()) as came:
            if not came or self._left() <= 0:
                return None
            return handshake.ask_for(question[0], question[1], min(EACH, self._left()))


def _told(
    claim: Claim,
    binding: Dict[str, Any],
    served: handshake.Served,
    holders: listening.Holders,
    own: Sequence[str],
) -> Dict[str, Any]:
    by = None
    if served.fingerprint != binding["certificate"]:
        by = holders.other_than(own, claim.endpoint.address, claim.endpoint.port)
    return {
        "listener": claim.listener,
        "name": claim.endpoint.name,
        "fingerprint": served.fingerprint,
        "error": served.error,
        "by": by,
    }


def _keep(certificates: Dict[str, Any], served: handshake.Served) -> None:
    """What was shown and lies in no file is worth reading too: it may be what expires tomorrow."""
    if not served.chain or served.fingerprint is None or served.fingerprint in certificates:
        return
    if hashlib.sha256(served.chain[0]).hexdigest() == served.fingerprint:
        certificates[served.fingerprint] = {"pem": ssl.DER_cert_to_PEM_cert(served.chain[0])}


def _warn(found: Dict[str, Any], message: str) -> None:
    found["warnings"].append({"file": None, "line": None, "message": message})


def key_type(der: bytes) -> Optional[str]:
    """Of which kind the key of a certificate is: its algorithm's identifier stands in it as it is."""
    return next((name for name, identifier in _KINDS if identifier in der), None)


def dns_names(der: bytes) -> List[str]:
    """The first names that a certificate is for (RFC 5280 §4.2.1.6); empty where it cannot be read so.

    Only good enough to have something to ask for: the controller reads the certificate itself.
    """
    at = der.find(_NAMES)
    if at < 0:
        return []
    at += len(_NAMES)
    if der[at : at + 3] == b"\x01\x01\xff":  # critical
        at += 3
    for tag in (0x04, 0x30):
        if der[at : at + 1] != bytes((tag,)):
            return []
        at, _end = _length(der, at + 1)
    names: List[str] = []
    while len(names) < FOR_ONE and at < len(der) and der[at] & 0xC0 == 0x80:
        start, end = _length(der, at + 1)
        if der[at] == 0x82:
            names.append(der[start:end].decode("ascii", "replace").lower())
        at = end
    return names


def _length(der: bytes, at: int) -> Tuple[int, int]:
    """Where the content of a value begins and ends (X.690 §8.1.3)."""
    first = der[at] if at < len(der) else 0
    if first < 0x80:
        return at + 1, at + 1 + first
    count = first & 0x7F
    start = at + 1 + count
    return start, start + int.from_bytes(der[at + 1 : start], "big")
