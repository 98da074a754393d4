"""CA accounts and DNS credentials; their secrets go in and never come out."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, SecretStr

from notafter.api.schema import V1, Input, Output
from notafter.api.service import ServiceDep, VisitorDep
from notafter.domain.audit import Action
from notafter.domain.budget import Key
from notafter.lifecycle import account, ordering
from notafter.lifecycle.account import ExternalAccount, external_account
from notafter.store import accounts
from notafter.store.database import Session
from notafter.store.tables import AccountRow, CredentialRow

router = APIRouter(prefix=V1, tags=["accounts"])

_LIMITS = {
    "orders_per_3_hours": Key.ACCOUNT,
    "certificates_per_registered_domain_per_week": Key.REGISTERED_DOMAIN,
    "certificates_per_exact_set_per_week": Key.EXACT_SET,
    "failed_authorisations_per_hour": Key.FAILED_AUTHORISATION,
}


class AccountWish(Input):
    """A new account at a CA."""

    name: str
    directory: Annotated[str, Field(max_length=2000)]
    bundle: str | None = None
    root: str | None = None
    email: Annotated[str | None, Field(max_length=254)] = None
    eab_key_id: str | None = None
    eab_hmac_key: SecretStr | None = None

    def external(self) -> ExternalAccount | None:
        """Return what ties the account to one that the CA keeps elsewhere, if anything does."""
        secret = self.eab_hmac_key
        return external_account(self.eab_key_id, secret.get_secret_value() if secret else None)


#: How many; null: without this limit.
Count = Annotated[int, Field(ge=1, le=1_000_000)] | None


class LimitsWish(Input):
    """An operator's own limits of an account; what is left out is as its CA has published it."""

    orders_per_3_hours: Count = None
    certificates_per_registered_domain_per_week: Count = None
    certificates_per_exact_set_per_week: Count = None
    failed_authorisations_per_hour: Count = None

    def wishes(self) -> dict[Key, int | None]:
        """Return what was said, and nothing of what was left out."""
        return {key: getattr(self, name) for name, key in _LIMITS.items() if name in self.model_fields_set}


class Limit(Output):
    """A limit that an account keeps."""

    counts: Key
    count: int
    seconds: int
    name: str
    own: bool


class Account(Output):
    """An account at a CA."""

    id: int
    name: str
    directory: str
    email: str | None
    eab_key_id: str | None
    limits: list[Limit]
    url: str | None
    created_at: datetime


class CredentialWish(Input):
    """What a DNS provider's hook asks for."""

    name: str
    provider: str
    variables: Annotated[dict[str, SecretStr], Field(max_length=50)]
    propagation_seconds: Annotated[int | None, Field(ge=0, le=3600)] = None


class Credential(Output):
    """A DNS credential, without its values."""

    id: int
    name: str
    provider: str
    variables: list[str]
    propagation_seconds: int | None
    created_at: datetime


@router.get("/accounts")
def list_accounts(desk: ServiceDep) -> list[Account]:
    """List the CA accounts."""
    with desk.database.read() as session:
        return [_account(session, row) for row in accounts.everyone(session)]


@router.post("/accounts", status_code=HTTPStatus.CREATED)
def create_account(desk: ServiceDep, who: VisitorDep, wish: AccountWish) -> Account:
    """Make a CA account; its directory is asked first."""
    row = account.create_account(
        desk.recorded(who, Action.ACCOUNT_CREATED, wish.name, {"directory": wish.directory}),
        desk.custodian,
        wish.name,
        wish.directory,
        wish.bundle,
        wish.email,
        desk.reach,
        desk.clock(),
        wish.root,
        wish.external(),
    )
    with desk.database.read() as session:
        return _account(session, accounts.by_name(session, row.name))


@router.put("/accounts/{name}/limits")
def set_limits(desk: ServiceDep, who: VisitorDep, name: str, wish: LimitsWish) -> Account:
    """Set the limits that an account keeps, all of them anew."""
    said = {key.value: count for key, count in wish.wishes().items()}
    with desk.change(who, Action.LIMITS_SET, name, said) as session:
        return _account(session, account.set_limits(session, name, wish.wishes()))


@router.get("/dns-credentials")
def list_credentials(desk: ServiceDep) -> list[Credential]:
    """List the DNS credentials."""
    with desk.database.read() as session:
        return [_credential(row) for row in accounts.credentials(session)]


@router.post("/dns-credentials", status_code=HTTPStatus.CREATED)
def create_credential(desk: ServiceDep, who: VisitorDep, wish: CredentialWish) -> Credential:
    """Keep a DNS provider's variables under seal."""
    variables = {name: value.get_secret_value() for name, value in wish.variables.items()}
    row = account.create_credential(
        desk.recorded(who, Action.CREDENTIAL_CREATED, wish.name, {"provider": wish.provider}),
        desk.custodian,
        wish.name,
        wish.provider,
        variables,
        desk.clock(),
        wish.propagation_seconds,
    )
    return _credential(row)


def _account(session: Session, row: AccountRow) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        directory=row.directory,
        email=row.email,
        eab_key_id=row.eab_key_id,
        limits=[
            Limit(
                counts=limit.key,
                count=limit.count,
                seconds=int(limit.span.total_seconds()),
                name=limit.name,
                own=limit.key in row.limits,
            )
            for limit in ordering.limits_kept(session, row)
        ],
        url=row.url,
        created_at=row.created_at,
    )


def _credential(row: CredentialRow) -> Credential:
    return Credential(
        id=row.id,
        name=row.name,
        provider=row.provider,
        variables=row.variable_names,
        propagation_seconds=row.propagation_seconds,
        created_at=row.created_at,
    )
