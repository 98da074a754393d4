# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets this host's own servers answer http-01 with an account's thumbprint (RFC 8555 §8.3).

The answer to a challenge is `<token>.<thumbprint>`, and the token is in the URL: so one fixed
piece of configuration answers every challenge of an account. Nothing is copied when a
certificate is renewed, and the account key stays with the issuer.
"""

import http.client
import os
import re
import time
from typing import Any, Dict, List, Optional

from . import deploy, services, state, transaction
from .errors import Blocked, HostError, Refused

QUESTION = "notafter-self-test"
PATIENCE = 3.0


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"thumbprint", "services": {service: [names]}, "check"}` → `{"answers": [...]}`.

    Each answer has `service`, `state` (`answering`, `changed`, `planned`, `failed`) and `message`.
    """
    thumbprint = request.get("thumbprint") or ""
    if not re.match(r"^[A-Za-z0-9_-]{43}$", thumbprint):
        raise Refused("invalid_request", "%r is no JWK thumbprint (RFC 7638)" % thumbprint)
    answers = []
    with state.lock(os.path.join(state.directory(), "lock"), 60, "this host"):
        if not request.get("check"):
            deploy.recover()
        for name, asked in sorted(request["services"].items()):
            try:
                answers.append(_configure(name, asked, thumbprint, bool(request.get("check"))))
            except (HostError, OSError) as error:
                answers.append({"service": name, "state": "failed", "message": str(error)})
    return {"answers": answers}


def _configure(name: str, asked: List[str], thumbprint: str, check: bool) -> Dict[str, Any]:
    service = services.get(name)
    snippet = service.challenge_answer(thumbprint)
    if snippet is None:
        silent = _silent(asked, thumbprint)
        return _told(
            name, "failed" if silent else "answering", _advice(silent, service.challenge_advice(thumbprint))
        )
    path, text = snippet
    content = text.encode("ascii")
    outcome = "answering"
    if transaction.read(path) != content:
        outcome = "planned" if check else "changed"
        if not check:
            _write(name, service, path, content)
    silent = [] if outcome == "planned" else _silent(asked, thumbprint)
    return _told(name, "failed" if silent else outcome, _advice(silent, service.challenge_advice(thumbprint)))


def _told(name: str, outcome: str, message: str) -> Dict[str, Any]:
    return {"service": name, "state": outcome, "message": message}


def _write(name: str, service: Any, path: str, content: bytes) -> None:
    """One small transaction: the configuration test must pass before and after, or nothing stays."""
    problem = deploy.first_trouble(service, service.test_commands(), "configuration test")
    if problem:
        raise Blocked(
            "config_test_failed", "%s's configuration was broken before we came: %s" % (name, problem)
        )
    change = transaction.begin()
    change.stage([transaction.Change(path, content, False)], {"services": [name]})
    change.swap()
    problem = deploy.first_trouble(service, service.test_commands(), "configuration test")
    if problem is None and service.running():
        problem = deploy.first_trouble(service, service.reload_commands(), "reload")
    if problem is None:
        change.commit()
        return
    change.restore()
    if service.running():
        deploy.first_trouble(service, service.reload_commands(), "reload")
    change.settled()
    raise HostError("config_test_failed", "%s was taken away again: %s" % (path, problem))


def _silent(asked: List[str], thumbprint: str) -> List[str]:
    """The names that this host does not answer for on port 80, asked until it has had time to reload."""
    deadline = time.monotonic() + PATIENCE
    while True:
        silent = [name for name in asked if _answer(name) != "%s.%s" % (QUESTION, thumbprint)]
        if not silent or time.monotonic() > deadline:
            return silent
        time.sleep(0.2)


def _answer(name: str) -> Optional[str]:
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=5)
    try:
        connection.request("GET", "/.well-known/acme-challenge/" + QUESTION, headers={"Host": name})
        return connection.getresponse().read(4096).decode("latin-1").strip()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _advice(silent: List[str], advice: str) -> str:
    if not silent:
        return "answers for every name"
    return "does not answer http-01 for %s: %s" % (", ".join(silent), advice)
