# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a key and a CSR on this host, once for each wish."""

from typing import Any, Dict, Optional

from . import accounts, custody, names, registration
from .acme import Ca, Unreachable
from .errors import HostError
from .order import checked_directory


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"name", "names", "key_type", "account", "ca"}` → `{"csr", "attempt", "thumbprint"}`.

    Asking twice gives the same. The thumbprint is that of the issuer's own account for the CA,
    which the servers answer http-01 with; null unless a CA is named.
    """
    wanted = names.checked(request.get("names"))
    answer: Dict[str, Any] = dict(
        custody.request(request["name"], wanted, request.get("key_type") or "ec-256")
    )
    ca = request.get("ca")
    answer["thumbprint"] = _thumbprint(request.get("account"), ca) if ca else None
    return answer


def _thumbprint(name: Optional[str], ca: Dict[str, Any]) -> Optional[str]:
    """That of the key which orders will be signed with; after a broken change of it the CA is asked which."""
    directory = checked_directory(ca)
    with accounts.use(name, directory, alone=False, wait=60):
        account = accounts.own(name, directory)
        try:
            registration.settle(Ca(directory, ca.get("bundle_pem")), account)
        except Unreachable as error:
            raise HostError("ca_unavailable", error.failure().message) from error
        return account.thumbprint()
