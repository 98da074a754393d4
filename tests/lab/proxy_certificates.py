"""Wrong answers to a right request: what a CA that errs, or somebody in its place, would send."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509

from tests.authority import Authority, pem_of

if TYPE_CHECKING:
    from tests.lab.proxy import Exchange

_DAY = timedelta(days=1)
_END = b"-----END CERTIFICATE-----\n"


def csr_in(request: bytes) -> x509.CertificateSigningRequest:
    """The CSR of a request to finalize an order (RFC 8555 section 7.4)."""
    payload = json.loads(_decoded(json.loads(request)["payload"]))
    return x509.load_der_x509_csr(_decoded(payload["csr"]))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def names_of(csr: x509.CertificateSigningRequest) -> tuple[str, ...]:
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(names.get_values_for_type(x509.DNSName))


class Forger:
    """Signs for the key of the client's CSR what the client did not ask for."""

    def __init__(self, exchange: Exchange) -> None:
        self.csr = csr_in(exchange.proxy.finalized)
        self.names = names_of(self.csr)
        self.authority = Authority()

    def leaf(
        self, names: tuple[str, ...] | None = None, start: timedelta = -_DAY, end: timedelta = 30 * _DAY
    ) -> str:
        made = self.authority._sign(
            x509.Name([]),
            cast("Any", self.csr),  # what is signed is its public key
            self.authority.intermediate.subject,
            self.authority._intermediate_key,
            names=self.names if names is None else names,
            start=start,
            end=end,
        )
        return pem_of(made)

    def issuer(self, start: timedelta = -_DAY, end: timedelta = 30 * _DAY) -> str:
        """The intermediate's certificate, for this validity."""
        made = self.authority._sign(
            self.authority.intermediate.subject,
            self.authority._intermediate_key,
            self.authority.root.subject,
            self.authority._root_key,
            is_ca=True,
            start=start,
            end=end,
        )
        return pem_of(made)


def other_name(forger: Forger) -> str:
    return forger.leaf(("other.lab.test",)) + forger.issuer()


def name_left_out(forger: Forger) -> str:
    return forger.leaf(forger.names[:-1] or ("other.lab.test",)) + forger.issuer()


def other_key(forger: Forger) -> str:
    issued = forger.authority.issue(*forger.names)
    return issued.certificate + issued.chain


def short_life(forger: Forger) -> str:
    return forger.leaf(end=timedelta(minutes=20)) + forger.issuer()


def ended(forger: Forger) -> str:
    return forger.leaf(start=-2 * _DAY, end=-_DAY) + forger.issuer()


def not_yet_valid(forger: Forger) -> str:
    return forger.leaf(start=2 * _DAY) + forger.issuer()


def issuer_ended(forger: Forger) -> str:
    return forger.leaf() + forger.issuer(start=-30 * _DAY, end=-_DAY)


def chain_misordered(forger: Forger) -> str:
    return forger.leaf() + pem_of(forger.authority.root) + forger.issuer()


def chain_of_another(forger: Forger) -> str:
    return forger.leaf() + pem_of(Authority().intermediate)


def other_root(forger: Forger) -> str:
    """All is well with it, but it comes from somebody else."""
    return forger.leaf() + forger.issuer()


def no_certificate(_forger: Forger) -> str:
    return "-----BEGIN CERTIFICATE-----\nbm90aGluZyBvZiB0aGUgc29ydA==\n-----END CERTIFICATE-----\n"


def without_chain(answer: bytes) -> bytes:
    """The CA's own certificate alone."""
    return answer.partition(_END)[0] + _END
