"""What a running job may fetch: the secrets of its own items, with the job's own token."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from notafter.api.schema import V1, Id, Output
from notafter.api.service import Address, Bearer, ServiceDep
from notafter.domain.audit import Action
from notafter.domain.errors import NotAuthenticated
from notafter.lifecycle import handout
from notafter.lifecycle.login import Visitor
from notafter.store.database import Session
from notafter.store.tables import JobRow

router = APIRouter(prefix=V1 + "/jobs/{job_id}", tags=["runs"])


class Signer(Output):
    """The ACME account that signs."""

    private_key: str
    url: str | None
    eab_hmac_key: str | None


class Credentials(Output):
    """What the signing task needs."""

    account: Signer
    dns_variables: dict[str, str]


class Bundle(Output):
    """One version of a certificate, with its key."""

    fingerprint_sha256: str
    certificate: str
    chain: str
    private_key: str


@router.get("/credentials/{certificate}")
def credentials(  # noqa: PLR0913, PLR0917 -- FastAPI's way to take parts of a request
    desk: ServiceDep,
    bearer: Bearer,
    address: Address,
    response: Response,
    job_id: Id,
    certificate: str,
) -> Credentials:
    """Give the signing task its account and its DNS variables."""
    response.headers["Cache-Control"] = "no-store"
    with desk.database.write() as session:
        job = _opened(session, bearer, job_id)
        found = handout.credentials(session, desk.custodian, job, certificate)
        desk.note(session, _run(job_id, address), Action.CREDENTIALS_GIVEN, found.key)
    return Credentials(
        account=Signer(
            private_key=found.private_key,
            url=found.account_url,
            eab_hmac_key=found.eab_hmac_key,
        ),
        dns_variables=found.variables,
    )


@router.get("/bundle/{certificate}")
def bundle(  # noqa: PLR0913, PLR0917 -- FastAPI's way to take parts of a request
    desk: ServiceDep,
    bearer: Bearer,
    address: Address,
    response: Response,
    job_id: Id,
    certificate: str,
    fingerprint: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
) -> Bundle:
    """Give the deploy task a version that is on record; 404 while it is not."""
    response.headers["Cache-Control"] = "no-store"
    with desk.database.write() as session:
        job = _opened(session, bearer, job_id)
        found = handout.bundle(session, desk.custodian, job, certificate, fingerprint)
        said = {"fingerprint": found.fingerprint}
        desk.note(session, _run(job_id, address), Action.KEY_GIVEN, found.key, said)
    return Bundle(
        fingerprint_sha256=found.fingerprint,
        certificate=found.certificate,
        chain=found.chain,
        private_key=found.private_key,
    )


def _run(job_id: int, address: str) -> Visitor:
    return Visitor(f"job {job_id}", frozenset(), address=address)


def _opened(session: Session, bearer: Bearer, job_id: Id) -> JobRow:
    if bearer is None:
        raise NotAuthenticated("a job's token is needed")
    return handout.opened_by(session, job_id, bearer.credentials)
