# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a signed certificate on the issuer that keeps its key: it counts, or it is forgotten.

The controller has judged it. Until it has, the certificate that was current stays so.
"""

import os
from typing import Any, Dict

from . import custody, state
from .acme_sh import Home
from .order import checked_attempt


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"name", "attempt", "certificate", "chain"}` makes it the current version.

    Without `certificate` the attempt and its key are forgotten: the next asking is a new one.
    """
    name, attempt = request["name"], checked_attempt(request.get("attempt"))
    if request.get("certificate"):
        custody.promote(name, attempt, request["certificate"], request.get("chain") or "")
        return {}
    custody.forget(name, attempt)
    home = Home(attempt)
    with state.lock(os.path.join(home.path, "lock"), 10, "the attempt %s" % attempt):
        home.clear()
    return {}
