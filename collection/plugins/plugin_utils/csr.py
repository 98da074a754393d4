# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a CSR asks for what is wanted, before it costs an order that the CA then refuses to finish."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.module_utils.basic import missing_required_lib

from .parsed import covers, text_of

try:
    from cryptography import x509
except ImportError as error:
    _MISSING: ImportError | None = error
else:
    _MISSING = None


def unfit(csr_pem: str, names: t.Sequence[str]) -> str | None:
    """What is wrong with a request for these names, in words; None when it is right."""
    if _MISSING is not None:
        raise AnsibleError(missing_required_lib("cryptography", reason="on the controller")) from _MISSING
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode("ascii"))
        stated = _names(csr)
        staple = _asks_to_staple(csr)
    except Exception as error:  # noqa: BLE001 - the parser is native code; whatever is wrong, it is unreadable
        return f"the CSR cannot be read: {text_of(str(error))}"
    if staple:
        return (
            "the CSR asks for must-staple (RFC 7633): servers that staple nothing would be shunned by clients"
        )
    missing = [name for name in names if name not in stated]
    beyond = sorted(name for name in stated if name not in names and not covers(names, name))
    if missing or beyond:
        told = ", ".join(text_of(name, 300) for name in missing or beyond)
        return f"the CSR does not ask for {told}" if missing else f"the CSR asks for {told} as well"
    return None


def _names(csr: x509.CertificateSigningRequest) -> set[str]:
    try:
        value = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = (str(address) for address in value.get_values_for_type(x509.IPAddress))
    return {*(name.lower() for name in value.get_values_for_type(x509.DNSName)), *addresses}


def _asks_to_staple(csr: x509.CertificateSigningRequest) -> bool:
    try:
        value = csr.extensions.get_extension_for_class(x509.TLSFeature).value
    except x509.ExtensionNotFound:
        return False
    return x509.TLSFeatureType.status_request in value
