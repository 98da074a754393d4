"""How certificates are issued: CA accounts and DNS credentials, checked before they are kept."""

import json
from collections.abc import Mapping
from datetime import datetime

from cryptography import x509

from notafter.ca import directory
from notafter.custody import keys
from notafter.custody.custodian import Custodian, Place
from notafter.domain.errors import InvalidInput
from notafter.domain.names import dns_provider, inventory_name, variable_name
from notafter.store import accounts
from notafter.store.database import Database, Session
from notafter.store.tables import AccountRow, CredentialRow

_EMAIL_PARTS = 2
_LONGEST_PROPAGATION = 3600


def create_account(  # noqa: PLR0913, PLR0917 -- all that an account is made of
    database: Database,
    custodian: Custodian,
    name: str,
    url: str,
    bundle_pem: str | None,
    email: str | None,
    now: datetime,
) -> AccountRow:
    """Make a CA account with a new key; the CA itself hears of it at the first signing.

    An address that is no ACME directory is refused here, where a person can mend it.
    """
    inventory_name(name)
    _check_bundle(bundle_pem)
    _check_email(email)
    directory.read(url, bundle_pem)
    key = keys.account_pem()
    with database.write() as session:
        row = AccountRow(
            name=name,
            directory=url,
            bundle_pem=bundle_pem,
            email=email,
            sealed_key="",
            thumbprint=keys.thumbprint(key),
            created_at=now,
        )
        accounts.add(session, row)
        row.sealed_key = custodian.seal(key, _key_place(row))
        session.flush()
        session.expunge(row)
        return row


def create_credential(  # noqa: PLR0913, PLR0917 -- all that a credential is made of
    database: Database,
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
    with database.write() as session:
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
    if not value or any(ord(character) < ord(" ") for character in value):
        raise InvalidInput(f"the value of {name} is empty or has control characters")
    return value


def _check_bundle(bundle_pem: str | None) -> None:
    if bundle_pem is None:
        return
    try:
        x509.load_pem_x509_certificates(bundle_pem.encode())
    except ValueError as error:
        raise InvalidInput("the bundle holds no readable certificates in PEM") from error


def _check_email(email: str | None) -> None:
    if email is not None and (len(email.split("@")) != _EMAIL_PARTS or any(c.isspace() for c in email)):
        raise InvalidInput(f"{email!r} is no e-mail address")


def _key_place(row: AccountRow) -> Place:
    return Place("account", row.id, "sealed_key")


def _variables_place(row: CredentialRow) -> Place:
    return Place("dns_credential", row.id, "sealed_variables")
