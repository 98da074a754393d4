"""CA accounts and DNS credentials; their secrets go in and never come out."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, SecretStr

from notafter.api.schema import Input, Output
from notafter.api.service import Caller, ServiceDep
from notafter.lifecycle import account
from notafter.store import accounts
from notafter.store.tables import AccountRow, CredentialRow

router = APIRouter(tags=["accounts"])


class AccountWish(Input):
    """A new account at a CA."""

    name: str
    directory: Annotated[str, Field(max_length=2000)]
    bundle: str | None = None
    email: Annotated[str | None, Field(max_length=254)] = None


class Account(Output):
    """An account at a CA."""

    id: int
    name: str
    directory: str
    email: str | None
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
def list_accounts(desk: ServiceDep, _: Caller) -> list[Account]:
    """List the CA accounts."""
    with desk.database.read() as session:
        return [_account(row) for row in accounts.everyone(session)]


@router.post("/accounts", status_code=HTTPStatus.CREATED)
def create_account(desk: ServiceDep, _: Caller, wish: AccountWish) -> Account:
    """Make a CA account; its directory is asked first."""
    row = account.create_account(
        desk.database,
        desk.custodian,
        wish.name,
        wish.directory,
        wish.bundle,
        wish.email,
        desk.clock(),
    )
    return _account(row)


@router.get("/dns-credentials")
def list_credentials(desk: ServiceDep, _: Caller) -> list[Credential]:
    """List the DNS credentials."""
    with desk.database.read() as session:
        return [_credential(row) for row in accounts.credentials(session)]


@router.post("/dns-credentials", status_code=HTTPStatus.CREATED)
def create_credential(desk: ServiceDep, _: Caller, wish: CredentialWish) -> Credential:
    """Keep a DNS provider's variables under seal."""
    variables = {name: value.get_secret_value() for name, value in wish.variables.items()}
    row = account.create_credential(
        desk.database,
        desk.custodian,
        wish.name,
        wish.provider,
        variables,
        desk.clock(),
        wish.propagation_seconds,
    )
    return _credential(row)


def _account(row: AccountRow) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        directory=row.directory,
        email=row.email,
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
