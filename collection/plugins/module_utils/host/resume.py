# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An order that was sent for signing, and whose certificate never came: fetched, so that no second is made.

acme.sh begins each renewal with a new order. The CA may have signed long since, and only its answer
was lost, or it was still at work: then the certificate lies there for whoever asks (RFC 8555 §7.4.2).
"""

import os
import time
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from . import commands, jose, pem, state, talk
from .acme import URL, Ca, Reply, Unreachable
from .acme_sh import Home
from .failure import Failed, Failure
from .order import Order

#: Seconds after which an order that is still worked on is given up for a new one.
PATIENCE = 3600
#: The same where the CA cannot be asked: it may have signed long since.
PATIENCE_WHILE_SILENT = 7 * 86400


class Pending(NamedTuple):
    """It is not known to be signed, nor to be none: why, and for how many seconds that may be so."""

    failure: Failure
    patience: float


def _path(home: Home) -> str:
    return os.path.join(home.path, "order.json")


def remember(home: Home, account_url: Optional[str] = None) -> None:
    """Notes the order of an attempt that failed, if the CA may sign it, or has signed it, all the same."""
    about = home.about()
    if about is None:
        return
    name, directory = about
    saved, account_url = home.saved(name), account_url or home.account_url(directory)
    finalize = saved.get("Le_OrderFinalize", "")
    link = saved.get("Le_LinkOrder") or talk.made(home.talk)  # acme.sh notes it after the answer
    if finalize and account_url and URL.match(link) and _may_be_signed(home, finalize):
        state.write_json(
            _path(home), {"order": link, "account": account_url, "ca": directory, "at": time.time()}
        )


def _may_be_signed(home: Home, finalize: str) -> bool:
    """Whether the CA was asked to sign, and has not said no; also when a kill came before its answer."""
    if talk.under_way(home.talk) == finalize:
        return True
    asked = [entry for entry in talk.record(home.talk).entries if entry.url == finalize]
    return any(last.code != 0 or not 300 <= (last.status or 500) < 500 for last in asked[-1:])


def fetch(home: Home, order: Order, key: str) -> Optional[Failure]:
    """Puts the certificate of the order that was noted into the home, if there is one.

    A failure means that it may still come, so that no other order is to be made; None that the
    attempt goes on, with the certificate or without.
    """
    noted = state.read_json(_path(home))
    if not noted or noted.get("ca") != order.directory:
        return None
    found = _asked_for(noted, order, key)
    if isinstance(found, str):
        home.put(order, found)
        return None
    if found is None or time.time() - noted["at"] > found.patience:
        os.unlink(_path(home))  # it came to nothing
        return None
    return found.failure


def _asked_for(noted: Dict[str, Any], order: Order, key: str) -> Union[str, Pending, None]:
    """The certificate, or why it is not there yet; None when it will never come."""
    try:
        found, wait = _certificate(Ca(order.directory, order.ca_bundle), noted, order, jose.Key(key))
    except (jose.OtherKey, Failed):
        return None
    except Unreachable as error:
        told = "whether the order is signed is not known, for %s" % error
        return Pending(Failure("ca_unavailable", told, None, None, error.retry_after), PATIENCE_WHILE_SILENT)
    if found == "":
        told = "the CA is still at work on the order"
        return Pending(Failure("ca_unavailable", told, None, None, wait), PATIENCE)
    return found


def _certificate(
    ca: Ca, noted: Dict[str, Any], order: Order, key: jose.Key
) -> Tuple[Optional[str], Optional[int]]:
    """The PEM of a signed order; "" and how long to wait while it is worked on; None if it is nothing."""
    reply = ca.fetch(noted["order"], key, noted["account"])
    found = reply.document() if reply.status == 200 else {}
    if reply.status == 200 and not found:
        raise Unreachable("its answer about the order is no JSON object")
    if found.get("status") == "processing":
        return "", reply.retry_after()
    if found.get("status") != "valid" or not URL.match(str(found.get("certificate"))):
        return None, None
    signed = ca.fetch(found["certificate"], key, noted["account"])
    if signed.status != 200:
        return None, None
    return _preferred(ca, signed, noted["account"], order, key), None


def _preferred(ca: Ca, signed: Reply, account: str, order: Order, key: jose.Key) -> Optional[str]:
    """The chain that leads to the wanted issuer (RFC 8555 §7.4.2); without one the CA's own choice."""
    chain = "".join(pem.certificates(signed.body)) or None
    for url in [None, *signed.alternates] if order.preferred_chain else []:
        other = chain if url is None else "".join(pem.certificates(ca.fetch(url, key, account).body))
        if other and _leads_to(other, str(order.preferred_chain)):
            return other
    return chain


def _leads_to(chain: str, issuer: str) -> bool:
    """Whether the last issuer of a chain is called so; as acme.sh looks at it."""
    asked = ["openssl", "x509", "-noout", "-issuer"]
    told = commands.run(asked, 20.0, input=pem.certificates(chain)[-1].encode("ascii"))
    return issuer.lower() in told.stdout.decode("utf-8", "replace").lower()
