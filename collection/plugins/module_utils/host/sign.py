# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One attempt to have a CSR signed: found if it was signed before, else made by acme.sh."""

import hashlib
import os
import re
import shutil
import time
from contextlib import ExitStack
from typing import Any, Dict, Optional, Tuple

from . import accounts, acme_sh, caa, commands, pem, registration, resume, standalone, state, txt_records
from .acme import Ca, Unreachable
from .acme_sh import Home
from .errors import Busy, HostError, Refused
from .failure import Failed, Failure
from .order import Order, checked

FORGET_AFTER = 30 * 86400


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """Signs the CSR of a request; the answer has a `certificate` or a `failure` (contracts.md §2)."""
    start = time.monotonic()
    try:
        order = checked(request)
    except Refused as error:
        return {"failure": Failure("invalid_request", error.message).as_result()}
    home = Home(order.attempt)
    answer: Dict[str, Any] = {"attempt": order.attempt, "found": False}
    with ExitStack() as held:
        handle = _lock(held, home, order)
        state.failpoint("attempt-locked")
        signed = home.finished(order)
        answer["found"] = signed is not None
        try:
            if signed is None:
                answer["account"] = _attempt(held, home, order, request, handle)
                signed = _finished(home, order)
            answer["certificate"] = _certificate(signed)
            state.failpoint("before-answer")
        except Failed as failed:
            answer["failure"] = failed.failure.as_result()
        except HostError as error:
            answer["failure"] = Failure("internal", error.message).as_result()
        finally:
            home.strip()
    sweep(order.attempt)
    answer["seconds"] = round(time.monotonic() - start, 2)
    return answer


def _lock(held: ExitStack, home: Home, order: Order) -> int:
    """The attempt's lock; an acme.sh that outlived its starter is waited for, then ended."""
    path = os.path.join(home.path, "lock")
    try:
        return held.enter_context(state.lock(path, order.timeout + 30, "the attempt %s" % order.attempt))
    except Busy:
        _end_left_process(home)
        return held.enter_context(state.lock(path, 10, "the attempt %s" % order.attempt))


def _end_left_process(home: Home) -> None:
    """Ends the process group of an acme.sh that somebody started for this attempt."""
    try:
        with open(os.path.join(home.path, "process")) as stream:
            pid = int(stream.read())
        with open("/proc/%d/cmdline" % pid, "rb") as stream:
            ours = home.config.encode() in stream.read()
    except (OSError, ValueError):
        return
    if ours:
        commands.end_group(pid)


def _attempt(
    held: ExitStack, home: Home, order: Order, request: Dict[str, Any], handle: int
) -> Dict[str, Optional[str]]:
    program = acme_sh.program(request.get("acme_sh"))
    account = _account(held, order, request.get("account") or {})
    resume.remember(home)  # of a try that was killed
    home.note_txt_records()
    failure = resume.fetch(home, order, account.private_key)
    if failure is None and home.finished(order) is None:
        failure = _forbidden(order) or _ordered(held, home, program, order, account, handle)
    url = home.account_url(order.directory) or account.url
    account.remember(url)
    if failure is not None:
        resume.remember(home, url)
        if str(failure.type).endswith(":accountDoesNotExist"):
            account.forget("url")  # the CA has lost it: the next try registers the same key again
        raise Failed(failure)
    return {"url": url, "thumbprint": account.thumbprint()}


def _account(held: ExitStack, order: Order, given: Dict[str, Any]) -> accounts.Account:
    """The account that orders, which the CA knows; acme.sh registers one itself unless it wants a binding.

    acme.sh would show the HMAC key in the arguments of a process (RFC 8555 §7.3.4).
    """
    if given.get("private_key"):
        account = accounts.given(given)
    else:
        held.enter_context(accounts.use(given.get("name"), order.directory, alone=False, wait=order.timeout))
        account = accounts.own(given.get("name"), order.directory)
    ca = Ca(order.directory, order.ca_bundle)
    try:
        registration.settle(ca, account)
        if order.binding is not None and not account.url:
            account.remember(registration.register(ca, account.key(), order.email, order.binding).url)
    except Unreachable as error:
        raise Failed(error.failure()) from error
    return account


def _forbidden(order: Order) -> Optional[Failure]:
    """What the names' CAA records have against this CA, if that was to be looked up before it is asked."""
    if not order.check_caa:
        return None
    try:
        identities = Ca(order.directory, order.ca_bundle).caa_identities()
    except Unreachable as error:
        return error.failure()
    return caa.refusal(order.names, identities, caa.Lookup())


def _ordered(  # noqa: PLR0913, PLR0917 - an attempt is these
    held: ExitStack, home: Home, program: str, order: Order, account: accounts.Account, handle: int
) -> Optional[Failure]:
    """Has acme.sh make an order and bring it to its end."""
    for name in order.challenge_names():
        # Providers remove every TXT record of a name, not only their own: one at a time.
        path = os.path.join(state.directory("locks"), "txt-" + hashlib.sha256(name.encode()).hexdigest()[:32])
        held.enter_context(state.lock(path, order.timeout, "the TXT record of %s" % name))
    standalone.prepare(held, order)
    state.failpoint("before-acme-sh")
    failure = _asked(home, program, order, account, handle)
    if order.replaces and failure is not None and _is_refusal(failure):
        # Some CAs refuse the whole order for what it says to replace (RFC 9773 §5): it is asked for
        # without. No order was made, so none is made twice.
        failure = _asked(home, program, order._replace(replaces=None), account, handle)
    return failure


def _is_refusal(failure: Failure) -> bool:
    """Whether the CA has looked at the order and does not want it; some call that an error of their own."""
    said = failure.type is not None and failure.retry_after is None
    return failure.order_refused and said and failure.failure_class != "rate_limited"


def _asked(
    home: Home, program: str, order: Order, account: accounts.Account, handle: int
) -> Optional[Failure]:
    home.fill(order, account.private_key, account.url)
    state.failpoint("home-filled")
    _remove_left_records(home, program, order)
    failure = acme_sh.sign(home, program, order, handle)
    home.note_txt_records()
    return failure


def _remove_left_records(home: Home, program: str, order: Order) -> None:
    """Takes away what killed tries have left at the names of this order; what cannot be is left."""
    if order.challenge.dns:
        sweep(order.attempt)  # it also notes what they have left
        names = [prefix + name for name in order.challenge_names() for prefix in ("", "_acme-challenge.")]
        txt_records.remove_left(program, home.config, order.challenge.webroot, names)


def _finished(home: Home, order: Order) -> Tuple[str, str]:
    signed = home.finished(order)
    if signed is None:
        told = "what the CA sent is a certificate for another key than the request's, or none"
        raise Failed(Failure("wrong_certificate", told))
    return signed


def _certificate(signed: Tuple[str, str]) -> Dict[str, str]:
    return {"pem": signed[0], "chain_pem": signed[1], "fingerprint_sha256": pem.fingerprint(signed[0])}


def sweep(current: str) -> None:
    """Takes the secrets out of attempts that a kill left, and forgets old ones."""
    base = state.directory("attempts")
    for name in os.listdir(base):
        path = os.path.join(base, name)
        if name == current or not re.match(r"^[A-Za-z0-9._-]+$", name) or not os.path.isdir(path):
            continue
        try:
            with state.lock(os.path.join(path, "lock"), 0, name):
                if time.time() - os.stat(path).st_mtime > FORGET_AFTER:
                    shutil.rmtree(path)
                elif Home(name).secretive():
                    resume.remember(Home(name))  # before what tells of its order goes
                    Home(name).note_txt_records()
                    Home(name).strip()
        except (Busy, OSError):
            continue  # somebody is at work there
