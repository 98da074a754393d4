"""How certificates are issued: CA accounts and DNS credentials, checked before they are kept."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from notafter.ca import directory
from notafter.ca.reach import Reach
from notafter.custody import keys
from notafter.custody.custodian import Custodian, Place
from notafter.domain.budget import Key
from notafter.domain.errors import InvalidInput
from notafter.domain.names import (
    directory_url,
    dns_provider,
    email_address,
    inventory_name,
    variable_name,
)
from notafter.store import accounts
from notafter.store.database import Session, Writer
from notafter.store.tables import AccountRow, CredentialRow

_LONGEST_PROPAGATION = 3600
_KEY_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,200}")
_SHORTEST_HMAC_KEY = 16
#: acme.sh keeps values between single quotes in a file that it sources.
_VALUE = re.compile(r"[\x20-\x26\x28-\x7e]{1,8192}")


@dataclass(frozen=True)
class ExternalAccount:
    """What a CA gives out to tie a new account to one that it keeps elsewhere (RFC 8555 §7.3.4)."""

    key_id: str
    hmac_key: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be one; the key is never repeated."""
        if not _KEY_ID.fullmatch(self.key_id):
            raise InvalidInput(f"{self.key_id[:60]!r} is no key id of an external account")
        try:
            key = base64.b64decode(_padded(self.hmac_key), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            raise InvalidInput("the HMAC key of the external account is not base64url") from error
        if len(key) < _SHORTEST_HMAC_KEY:
            raise InvalidInput(f"the HMAC key of the external account is cut: it has {len(key)} bytes")


def external_account(key_id: str | None, hmac_key: str | None) -> ExternalAccount | None:
    """Return an external account of both its halves, or none of neither."""
    if not key_id and not hmac_key:
        return None
    if not key_id or not hmac_key:
        raise InvalidInput("an external account is a key id and an HMAC key: one of them is missing")
    return ExternalAccount(key_id, hmac_key.strip())


def set_limits(session: Session, name: str, wishes: Mapping[Key, int | None]) -> AccountRow:
    """Keep an operator's limits of an account, all of them anew; those left out are the CA's own."""
    row = accounts.by_name(session, name)
    row.limits = {key.value: count for key, count in wishes.items()}
    return row


def create_account(  # noqa: PLR0913, PLR0917 -- all that an account is made of
    writer: Writer,
    custodian: Custodian,
    name: str,
    url: str,
    bundle_pem: str | None,
    email: str | None,
    reach: Reach,
    now: datetime,
    root_pem: str | None = None,
    external: ExternalAccount | None = None,
) -> AccountRow:
    """Make a CA account with a new key; the CA itself hears of it at the first signing.

    An address that is no ACME directory is refused here, where a person can mend it, and so is
    a CA that asks for an external account when none is given.
    """
    inventory_name(name)
    directory_url(url)
    _check_roots("bundle", bundle_pem)
    _check_roots("root", root_pem)
    _check_email(email)
    if directory.read(url, bundle_pem, reach).eab_required and external is None:
        raise InvalidInput(
            f"{url} asks for an external account: give the EAB key id and the HMAC key that its site shows",
        )
    key = keys.account_pem()
    with writer.write() as session:
        row = AccountRow(
            name=name,
            directory=url,
            bundle_pem=bundle_pem,
            root_pem=root_pem,
            email=email,
            sealed_key="",
            eab_key_id=external.key_id if external else None,
            thumbprint=keys.thumbprint(key),
            created_at=now,
        )
        accounts.add(session, row)
        row.sealed_key = custodian.seal(key, _key_place(row))
        if external is not None:
            row.sealed_eab_hmac_key = custodian.seal(external.hmac_key.encode("ascii"), _eab_place(row))
        session.flush()
        session.expunge(row)
        return row


def create_credential(  # noqa: PLR0913, PLR0917 -- all that a credential is made of
    writer: Writer,
    custodian: Custodian,
    name: str,
    provider: str,
    variables: Mapping[str, str],
    now: datetime,
    propagation_seconds: int | None = None,
) -> CredentialRow:
    """Keep the variables of a DNS provider's hook under seal.

    `propagation_seconds` is how long a record takes to be seen everywhere; without it
    the issuer asks the authoritative servers until they show it.
    """
    inventory_name(name)
    dns_provider(provider)
    if propagation_seconds is not None and not 0 <= propagation_seconds <= _LONGEST_PROPAGATION:
        raise InvalidInput(
            f"a record is seen within 0 to {_LONGEST_PROPAGATION} s, not {propagation_seconds}"
        )
    if not variables:
        raise InvalidInput(f"{provider} needs variables, none were given")
    checked = {variable_name(key): _value(key, value) for key, value in variables.items()}
    with writer.write() as session:
        row = CredentialRow(
            name=name,
            provider=provider,
            variable_names=sorted(checked),
            sealed_variables="",
            propagation_seconds=propagation_seconds,
            created_at=now,
        )
        accounts.add_credential(session, row)
        row.sealed_variables = custodian.seal(json.dumps(checked).encode(), _variables_place(row))
        session.flush()
        session.expunge(row)
        return row


def account_key(custodian: Custodian, row: AccountRow) -> str:
    """Return an account's private key, for the task that signs."""
    return custodian.open(row.sealed_key, _key_place(row)).decode("ascii")


def eab_hmac_key(custodian: Custodian, row: AccountRow) -> str | None:
    """Return the HMAC key of an account's external account, for the task that signs."""
    if row.sealed_eab_hmac_key is None:
        return None
    return custodian.open(row.sealed_eab_hmac_key, _eab_place(row)).decode("ascii")


def variables(session: Session, custodian: Custodian, credential_id: int | None) -> dict[str, str]:
    """Return the variables of a DNS credential, for the task that signs."""
    row = session.get(CredentialRow, credential_id) if credential_id is not None else None
    if row is None:
        return {}
    found = json.loads(custodian.open(row.sealed_variables, _variables_place(row)))
    return {str(key): str(value) for key, value in found.items()}


def parse_variables(text: str) -> dict[str, str]:
    """Return the variables of a text with one `NAME=value` a line; `#` begins a remark."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator:
            raise InvalidInput(f"line {number} of the variables is not NAME=value")
        found[variable_name(name.strip().removeprefix("export ").strip())] = value.strip().strip("'\"")
    return found


def _value(name: str, value: str) -> str:
    if not _VALUE.fullmatch(value):  # a secret: it is not shown
        raise InvalidInput(
            f"the value of {name} is empty, too long, or has a single quote, a control character or a letter"
            " beyond ASCII: acme.sh cannot be given it",
        )
    return value


def _check_roots(what: str, pem: str | None) -> None:
    if pem is None:
        return
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise InvalidInput(f"the {what} holds no readable certificates in PEM") from error


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)


def _check_email(email: str | None) -> None:
    if email is not None:
        email_address(email)


def _key_place(row: AccountRow) -> Place:
    return Place("account", row.id, "sealed_key")


def _eab_place(row: AccountRow) -> Place:
    return Place("account", row.id, "sealed_eab_hmac_key")


def _variables_place(row: CredentialRow) -> Place:
    return Place("dns_credential", row.id, "sealed_variables")
