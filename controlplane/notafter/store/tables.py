"""The tables: facts only; every state that depends on the time of day is derived from them."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, MetaData, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from notafter.domain.audit import Action
from notafter.domain.budget import Key, OrderKind
from notafter.domain.certificate import KeyType
from notafter.domain.finding import Kind, Level
from notafter.domain.job import ItemState, JobKind, JobState, Subject
from notafter.domain.login import LoginEnd
from notafter.domain.revocation import RevocationBy, RevocationReason
from notafter.domain.rollout import DEFAULT_WAVES
from notafter.domain.user import Guessing, Role
from notafter.domain.version import Origin
from notafter.store.types import PlainText, UtcDateTime, ranked, states

#: Before anything was.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_OPEN_ITEM = "state IN ('waiting', 'running')"


def _where(condition: str) -> dict[str, Any]:
    """Return the condition of an index, for each kind of database."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


#: SQLite would give the id of a row that is gone to the next one, and with it what is still held of it.
_NEVER_AGAIN = {"sqlite_autoincrement": True}


class Base(DeclarativeBase):
    """The parent of all rows."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy's own way to say it
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
        str: PlainText(),
    }


class ServerRow(Base):
    """A host that serves TLS, by its inventory name."""

    __tablename__ = "server"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    problems: Mapped[list[Any]] = mapped_column(default=list)
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    enrolled_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]
    last_missed_at: Mapped[datetime | None]
    last_scan_at: Mapped[datetime | None]
    scan_wanted_at: Mapped[datetime | None]
    scan_failures: Mapped[int] = mapped_column(default=0)
    last_problem: Mapped[str | None]
    #: Which machine it was when it was last seen; the inventory's name may move to another.
    machine_id: Mapped[str | None] = mapped_column(index=True)
    boot_id: Mapped[str | None]
    booted_at: Mapped[datetime | None]
    #: Another server of ours that is the same machine: what is seen here is put on record there.
    same_as_id: Mapped[int | None] = mapped_column(ForeignKey("server.id"))
    #: Since when the inventory no longer has this name.
    left_at: Mapped[datetime | None]
    former_names: Mapped[list[Any]] = mapped_column(default=list)
    #: What has arrived of the last scan, if it came in pages.
    scan_pages: Mapped[dict[str, Any]] = mapped_column(default=dict)
    #: From when on what is kept of its findings no longer holds; none: not before a fact changes.
    findings_until: Mapped[datetime | None] = mapped_column(index=True, default=LONG_AGO)
    #: When they were derived: a clock that was set back has to begin anew.
    findings_at: Mapped[datetime | None] = mapped_column(index=True)


class AccountRow(Base):
    """An account at a certificate authority."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    directory: Mapped[str]
    bundle_pem: Mapped[str | None]
    #: The root that what it signs must lead to; none: some chain must come along.
    root_pem: Mapped[str | None]
    email: Mapped[str | None]
    sealed_key: Mapped[str]
    #: What ties it to an account that the CA keeps elsewhere (RFC 8555 §7.3.4).
    eab_key_id: Mapped[str | None]
    sealed_eab_hmac_key: Mapped[str | None]
    #: An operator's own limits by what they count; a limit that is null is none.
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict)
    url: Mapped[str | None]
    #: Of its public key (RFC 7638): what servers answer http-01 with.
    thumbprint: Mapped[str]
    created_at: Mapped[datetime]


class CredentialRow(Base):
    """What a DNS provider's acme.sh hook asks for."""

    __tablename__ = "dns_credential"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    provider: Mapped[str]
    variable_names: Mapped[list[Any]]
    sealed_variables: Mapped[str]
    #: How long a record takes to be seen everywhere; none: acme.sh asks public resolvers.
    propagation_seconds: Mapped[int | None]
    created_at: Mapped[datetime]


class CertificateRow(Base):
    """A wish: these names, from this CA, proved this way."""

    __tablename__ = "certificate"

    id: Mapped[int] = mapped_column(primary_key=True)
    names: Mapped[list[Any]]
    key_type: Mapped[str] = mapped_column(default=KeyType.EC_256.value)
    #: Without a foreign key: the two tables would refer to each other.
    current_version_id: Mapped[int | None]
    created_at: Mapped[datetime]
    adopted_at: Mapped[datetime | None]
    auto_renew: Mapped[bool] = mapped_column(default=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    credential_id: Mapped[int | None] = mapped_column(ForeignKey("dns_credential.id"))
    challenge: Mapped[dict[str, Any] | None]
    profile: Mapped[str | None]
    #: The common name of an issuer, where the CA offers several chains (RFC 8555 §7.4.2).
    preferred_chain: Mapped[str | None]
    minimum_validity_seconds: Mapped[int | None]
    issuer_host: Mapped[str | None]
    renew_before_seconds: Mapped[int | None]
    #: How many servers get a new version at a time, and how many of a hundred may end without it.
    waves: Mapped[list[Any]] = mapped_column(default=lambda: list(DEFAULT_WAVES))
    max_fail_percentage: Mapped[int] = mapped_column(default=0)
    first_renewal_at: Mapped[datetime | None]
    renew_at: Mapped[datetime | None] = mapped_column(index=True)
    #: A person's wish for a new version, until there is one: a crash must not forget it.
    wanted_at: Mapped[datetime | None]
    wanted_by: Mapped[str | None]
    next_attempt_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    last_problem: Mapped[str | None]

    current: Mapped["VersionRow | None"] = relationship(
        primaryjoin="foreign(CertificateRow.current_version_id) == VersionRow.id",
        viewonly=True,
    )
    account: Mapped[AccountRow | None] = relationship()
    alternatives: Mapped[list["AlternativeRow"]] = relationship(
        order_by="AlternativeRow.position",
        cascade="all, delete-orphan",
    )
    credential: Mapped[CredentialRow | None] = relationship()
    deployments: Mapped[list["DeploymentRow"]] = relationship(
        back_populates="certificate",
        order_by="DeploymentRow.id",
    )

    @property
    def key(self) -> str:
        """The name that plans, outcomes and people use: `crt-17`."""
        return f"crt-{self.id}"


class AlternativeRow(Base):
    """A CA account that may issue a certificate when its own cannot in time."""

    __tablename__ = "alternative"

    certificate_id: Mapped[int] = mapped_column(ForeignKey("certificate.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))

    account: Mapped[AccountRow] = relationship()


class VersionRow(Base):
    """One certificate that was issued or found; its identity is the SHA-256 of its DER."""

    __tablename__ = "version"

    id: Mapped[int] = mapped_column(primary_key=True)
    certificate_id: Mapped[int] = mapped_column(ForeignKey("certificate.id"), index=True)
    fingerprint: Mapped[str] = mapped_column(unique=True)
    serial: Mapped[str]
    issuer: Mapped[str]
    names: Mapped[list[Any]]
    key_type: Mapped[str]
    not_before: Mapped[datetime]
    not_after: Mapped[datetime]
    authority_key_id: Mapped[str | None]
    pem: Mapped[str]
    chain_pem: Mapped[str]
    sealed_key: Mapped[str | None]
    origin: Mapped[Origin] = mapped_column(states(Origin))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime]
    replaced_by_id: Mapped[int | None] = mapped_column(ForeignKey("version.id"))
    revoked_at: Mapped[datetime | None]
    ari_start: Mapped[datetime | None]
    ari_end: Mapped[datetime | None]
    ari_explanation: Mapped[str | None]
    ari_next_poll_at: Mapped[datetime | None]
    ari_failures: Mapped[int] = mapped_column(default=0)


class RevocationRow(Base):
    """A wish that a CA take a version back; it stands until the CA has done so."""

    __tablename__ = "revocation"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("version.id"), unique=True)
    certificate_id: Mapped[int] = mapped_column(ForeignKey("certificate.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    reason: Mapped[RevocationReason] = mapped_column(states(RevocationReason))
    by: Mapped[RevocationBy] = mapped_column(states(RevocationBy))
    #: Why a version was taken back that was still needed, if it was.
    forced_because: Mapped[str | None]
    asked_by: Mapped[str]
    asked_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    last_problem: Mapped[str | None]

    version: Mapped[VersionRow] = relationship()
    certificate: Mapped[CertificateRow] = relationship()
    account: Mapped[AccountRow] = relationship()


class RequestRow(Base):
    """An attempt to sign; retries keep it until a version is on record for it."""

    __tablename__ = "request"
    __table_args__ = (
        Index(
            "uq_request_open_certificate",
            "certificate_id",
            unique=True,
            **_where("version_id IS NULL AND abandoned_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    certificate_id: Mapped[int] = mapped_column(ForeignKey("certificate.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    names: Mapped[list[Any]]
    key_type: Mapped[str]
    csr_pem: Mapped[str]
    sealed_key: Mapped[str | None]
    created_at: Mapped[datetime]
    version_id: Mapped[int | None] = mapped_column(ForeignKey("version.id"))
    abandoned_at: Mapped[datetime | None]

    @property
    def key(self) -> str:
        """The name that plans and outcomes use: `req-12`."""
        return f"req-{self.id}"


class DeploymentRow(Base):
    """One place where a certificate serves: a server, a service, the certificate's file."""

    __tablename__ = "deployment"
    __table_args__ = (UniqueConstraint("server_id", "service", "path"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    certificate_id: Mapped[int] = mapped_column(ForeignKey("certificate.id"), index=True)
    server_id: Mapped[int] = mapped_column(ForeignKey("server.id"), index=True)
    service: Mapped[str]
    path: Mapped[str]
    config_file: Mapped[str]
    line: Mapped[int | None]
    names: Mapped[list[Any]]
    listeners: Mapped[list[Any]]
    files: Mapped[list[Any]]
    managed_by: Mapped[str | None]
    problems: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    #: A place that came up later is not ours to bring a key to until somebody says so.
    adopted_at: Mapped[datetime | None]
    absent_since: Mapped[datetime | None]
    file_fingerprint: Mapped[str | None]
    live_fingerprint: Mapped[str | None]
    #: The version that was put there last and did not come to serve.
    not_taken_fingerprint: Mapped[str | None]
    #: What the host's own handshakes showed when it was last looked at, and what was seen from outside.
    served: Mapped[list[Any]] = mapped_column(default=list)
    outside: Mapped[list[Any]] = mapped_column(default=list)
    verified_at: Mapped[datetime | None]
    deployed_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    last_problem: Mapped[str | None]

    certificate: Mapped[CertificateRow] = relationship(back_populates="deployments")
    server: Mapped[ServerRow] = relationship()

    @property
    def key(self) -> str:
        """The name that plans and outcomes use: `dep-5`."""
        return f"dep-{self.id}"


class FindingRow(Base):
    """A finding as it was derived last: a copy of what the facts say, for lists; never a source."""

    __tablename__ = "finding"
    __table_args__ = (
        Index("ix_finding_level", "level", "server", "id"),
        Index("ix_finding_kind", "kind", "level", "server", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    server_id: Mapped[int] = mapped_column(ForeignKey("server.id", ondelete="CASCADE"), index=True)
    level: Mapped[Level] = mapped_column(ranked(Level))
    kind: Mapped[Kind] = mapped_column(states(Kind))
    server: Mapped[str]
    sentence: Mapped[str]
    service: Mapped[str | None]
    file: Mapped[str | None]
    line: Mapped[int | None]
    names: Mapped[list[Any]]
    certificate: Mapped[str | None] = mapped_column(index=True)
    fingerprint: Mapped[str | None]
    moment: Mapped[datetime | None]
    since: Mapped[datetime]
    #: What can be searched for in it.
    said: Mapped[str]


class FindingCountRow(Base):
    """How many findings of a level and a kind are kept."""

    __tablename__ = "finding_count"

    level: Mapped[Level] = mapped_column(ranked(Level), primary_key=True)
    kind: Mapped[Kind] = mapped_column(states(Kind), primary_key=True)
    number: Mapped[int]


class JobRow(Base):
    """One run of one playbook."""

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[JobKind] = mapped_column(states(JobKind))
    state: Mapped[JobState] = mapped_column(states(JobState), index=True)
    reason: Mapped[str]
    requested_by: Mapped[str]
    whole_fleet: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    message: Mapped[str | None]
    fence: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    #: When its worker last said that it holds it.
    beat_at: Mapped[datetime | None]
    run_id: Mapped[str | None]
    token_hash: Mapped[str | None]
    #: A person's wish that it end before its time; who holds it looks for this.
    cancel_wanted_at: Mapped[datetime | None]
    cancel_wanted_by: Mapped[str | None]
    cancel_reason: Mapped[str | None]
    #: The name that a run which somebody else started gave itself: told twice it is recorded once.
    report_id: Mapped[str | None] = mapped_column(unique=True)

    items: Mapped[list["ItemRow"]] = relationship(back_populates="job", order_by="ItemRow.id")


class ItemRow(Base):
    """One certificate, deployment or server in a job."""

    __tablename__ = "item"
    __table_args__ = (
        Index(
            "uq_item_open_certificate",
            "certificate_id",
            unique=True,
            **_where(f"{_OPEN_ITEM} AND subject = 'certificate'"),
        ),
        Index("uq_item_open_deployment", "deployment_id", unique=True, **_where(_OPEN_ITEM)),
        Index(
            "uq_item_open_server",
            "server_id",
            unique=True,
            **_where(f"{_OPEN_ITEM} AND subject = 'server'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    subject: Mapped[Subject] = mapped_column(states(Subject))
    certificate_id: Mapped[int | None] = mapped_column(ForeignKey("certificate.id"), index=True)
    deployment_id: Mapped[int | None] = mapped_column(ForeignKey("deployment.id"), index=True)
    server_id: Mapped[int | None] = mapped_column(ForeignKey("server.id"), index=True)
    state: Mapped[ItemState] = mapped_column(states(ItemState))
    due_reason: Mapped[str]
    attempt: Mapped[int] = mapped_column(default=1)
    reason: Mapped[str | None]
    message: Mapped[str | None]
    #: What a deployment is to show after this job.
    wanted_fingerprint: Mapped[str | None]
    before_fingerprint: Mapped[str | None]
    after_fingerprint: Mapped[str | None]
    #: What the order is to the CA, as it was when the renewal was begun.
    order_kind: Mapped[OrderKind | None] = mapped_column(states(OrderKind))
    #: The account that a renewal is ordered with.
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    #: Which of its limits the CA named, when it sent a renewal away.
    limited_by: Mapped[Key | None] = mapped_column(states(Key))
    #: The seconds of patience that the CA asked for.
    retry_after: Mapped[float | None]
    seconds: Mapped[float | None]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)

    job: Mapped[JobRow] = relationship(back_populates="items")
    certificate: Mapped[CertificateRow | None] = relationship()
    deployment: Mapped[DeploymentRow | None] = relationship()
    server: Mapped[ServerRow | None] = relationship()
    account: Mapped[AccountRow | None] = relationship()


class LineRow(Base):
    """One line of a job's log; no secret ever gets here."""

    __tablename__ = "line"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    text: Mapped[str]


class UserRow(Base):
    """A person."""

    __tablename__ = "user"
    __table_args__ = _NEVER_AGAIN

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[Role] = mapped_column(states(Role))
    password_hash: Mapped[str]
    #: Somebody else knows it: nothing but another password can be set with it.
    password_is_one_time: Mapped[bool]
    password_changed_at: Mapped[datetime]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    disabled_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]


class LoginRow(Base):
    """Somebody who has logged in; its refresh tokens are one family."""

    __tablename__ = "login"
    __table_args__ = _NEVER_AGAIN

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    address: Mapped[str]
    began_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end: Mapped[LoginEnd | None] = mapped_column(states(LoginEnd))

    user: Mapped[UserRow] = relationship()


class RefreshTokenRow(Base):
    """What a login goes on with: its hash, and whether it was used; twice is once too often."""

    __tablename__ = "refresh_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    login_id: Mapped[int] = mapped_column(ForeignKey("login.id"), index=True)
    hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

    login: Mapped[LoginRow] = relationship()


class SigningKeyRow(Base):
    """A key that signs access tokens; the newest does, those before it are still believed for a while."""

    __tablename__ = "signing_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    sealed_secret: Mapped[str]
    created_at: Mapped[datetime]
    replaced_at: Mapped[datetime | None]

    @property
    def key(self) -> str:
        """The name that tokens use: `key-3`."""
        return f"key-{self.id}"


class GuessRow(Base):
    """Wrong passwords in a row, for a name or from an address; of no name it says whether it is one."""

    __tablename__ = "guess"

    kind: Mapped[Guessing] = mapped_column(states(Guessing), primary_key=True)
    who: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(index=True)


class TokenRow(Base):
    """A bearer token of the API: its hash, never itself."""

    __tablename__ = "token"
    __table_args__ = (UniqueConstraint("user_id", "name"), _NEVER_AGAIN)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    #: Whose it is; one that was made on the command line is the machine's own.
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"), index=True)
    #: What it may do, as far as its owner still may.
    scopes: Mapped[list[Any]]
    last_used_at: Mapped[datetime | None]

    user: Mapped[UserRow | None] = relationship()


class RequestedRow(Base):
    """A request with an Idempotency-Key: whether it was answered, and how."""

    __tablename__ = "idempotency"

    #: A digest of the key, whose it is, and what it was sent to.
    mark: Mapped[str] = mapped_column(primary_key=True)
    #: A digest of what was asked.
    asked: Mapped[str]
    begun_at: Mapped[datetime] = mapped_column(index=True)
    #: None while it is being processed.
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    #: None where it held a secret: that is kept nowhere.
    body: Mapped[str | None]


class AuditRow(Base):
    """One thing that somebody has done; `link` chains it to the entry before it."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_who", "who", "number"),
        Index("ix_audit_action", "action", "number"),
        Index("ix_audit_subject", "subject", "number"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(index=True)
    who: Mapped[str]
    address: Mapped[str]
    action: Mapped[Action] = mapped_column(states(Action))
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]
    link: Mapped[str]


class AuditHeadRow(Base):
    """The end of the chain: which entry is the last, sealed, so that one that is cut off is missed."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True)
    sealed_key: Mapped[str]
    number: Mapped[int]
    link: Mapped[str]
    seal: Mapped[str]


class CanaryRow(Base):
    """A known text sealed with the key-encryption key: tells whether a key is the right one."""

    __tablename__ = "canary"

    id: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[str]
    sealed: Mapped[str]
