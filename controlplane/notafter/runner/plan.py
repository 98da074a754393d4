"""A job's plan: inventory and variables exactly as the contract with the collection has them.

In a plan nothing is a template: every string goes in as `{"__ansible_unsafe": …}`, whoever
wrote it. A string that a host invented would otherwise run code on the controller.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from notafter.domain.job import JobKind
from notafter.domain.names import inventory_name
from notafter.domain.rollout import DEFAULT_POLICY, WavePolicy

Plain = str | int | float | bool | None | Sequence["Plain"] | Mapping[str, "Plain"]

_MARK = "__ansible_unsafe"


@dataclass(frozen=True)
class PlannedDeployment:
    """One place where a certificate serves."""

    id: str
    server: str
    service: str
    names: tuple[str, ...]
    listeners: tuple[str, ...]
    files: tuple[Mapping[str, Plain], ...]
    urgent: bool = False


@dataclass(frozen=True)
class PlannedAuthority:
    """The CA account that a certificate's issuer speaks for; its keys stay in custody."""

    account: str
    directory: str
    bundle_pem: str | None = None
    root_pem: str | None = None
    email: str | None = None
    eab_key_id: str | None = None


@dataclass(frozen=True)
class PlannedSigning:
    """What the issuer needs to have a request signed; the key stays in custody."""

    authority: PlannedAuthority
    challenge: Mapping[str, Plain]
    thumbprint: str
    profile: str | None
    preferred_chain: str | None
    minimum_validity: int | None
    csr_pem: str
    attempt: str
    replaces_pem: str | None
    issuer: str | None
    check_caa: bool = False


@dataclass(frozen=True)
class PlannedRevocation:
    """What the issuer needs to have a certificate taken back."""

    authority: PlannedAuthority
    pem: str
    reason: str
    by: str
    issuer: str | None


@dataclass(frozen=True)
class PlannedCertificate:
    """One certificate, posing as a host."""

    name: str
    names: tuple[str, ...]
    key_type: str
    deployments: tuple[PlannedDeployment, ...] = ()
    rollout: WavePolicy = field(default=DEFAULT_POLICY, kw_only=True)
    signing: PlannedSigning | None = None
    fingerprint: str | None = None
    revocation: PlannedRevocation | None = None


@dataclass(frozen=True)
class Plan:
    """All that a run is told; no secret is in it."""

    kind: JobKind
    job_id: int
    certificates: tuple[PlannedCertificate, ...] = ()
    servers: tuple[str, ...] = ()

    def hosts(self) -> list[str]:
        """Return the hosts that the run is limited to."""
        names = [one.name for one in self.certificates] + list(self.servers)
        return [inventory_name(name) for name in names]


def unsafe(value: Plain) -> Plain:
    """Wrap every string in a value, so that Ansible takes it as text and never as a template."""
    if isinstance(value, str):
        return {_MARK: value}
    if isinstance(value, Mapping):
        return {str(key): unsafe(inner) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [unsafe(inner) for inner in value]
    return value


def inventory(plan: Plan, folder: Path) -> str:
    """Return the job's inventory as JSON text; CA bundles lie beside it in the job's folder."""
    certificates = {
        inventory_name(one.name): {key: unsafe(value) for key, value in _variables(one, folder).items()}
        for one in plan.certificates
    }
    servers: dict[str, dict[str, Plain]] = {inventory_name(name): {} for name in plan.servers}
    return json.dumps({"certificates": {"hosts": certificates}, "servers": {"hosts": servers}})


def extra_variables(plan: Plan, api_url: str, folder: Path) -> str:
    """Return the variables of the job itself as JSON text.

    The connections are the run's own: they end with it, and no other run may lean on them.
    """
    job: Plain = {"id": plan.job_id, "api_url": api_url, "token_file": str(folder / "token")}
    connections = str(folder / "ssh")
    return json.dumps(unsafe({"notafter_job": job, "ansible_control_path_dir": connections}))


def ca_files(plan: Plan) -> dict[str, str]:
    """Return the files with roots, for each CA's own HTTPS and for what it signs: name → PEM."""
    found = {}
    for authority in _authorities(plan):
        if authority.bundle_pem:
            found[_bundle_file(authority)] = authority.bundle_pem
        if authority.root_pem:
            found[_root_file(authority)] = authority.root_pem
    return found


def _authorities(plan: Plan) -> list[PlannedAuthority]:
    wishes = [wish for one in plan.certificates for wish in (one.signing, one.revocation)]
    return [wish.authority for wish in wishes if wish is not None]


def _bundle_file(authority: PlannedAuthority) -> str:
    return f"ca-{inventory_name(authority.account)}.pem"


def _root_file(authority: PlannedAuthority) -> str:
    return f"root-{inventory_name(authority.account)}.pem"


def _variables(one: PlannedCertificate, folder: Path) -> dict[str, Plain]:
    found: dict[str, Plain] = {
        "certificate_names": list(one.names),
        "certificate_key_type": one.key_type,
        "certificate_deployments": [_deployment(place) for place in one.deployments],
        "certificate_waves": list(one.rollout.waves),
        "certificate_max_fail_percentage": one.rollout.max_fail_percentage,
    }
    if one.fingerprint is not None:
        found["certificate_fingerprint"] = one.fingerprint
    if one.signing is not None:
        found |= _signing(one.signing, folder)
    if one.revocation is not None:
        found |= _revocation(one.revocation, folder)
    return found


def _signing(signing: PlannedSigning, folder: Path) -> dict[str, Plain]:
    found: dict[str, Plain] = {
        **_authority(signing.authority, folder),
        "certificate_challenge": dict(signing.challenge),
        "certificate_thumbprint": signing.thumbprint,
        "certificate_profile": signing.profile,
        "certificate_preferred_chain": signing.preferred_chain,
        "certificate_minimum_validity": signing.minimum_validity,
        "certificate_csr": signing.csr_pem,
        "certificate_attempt": signing.attempt,
        "certificate_replaces": signing.replaces_pem,
        "certificate_check_caa": signing.check_caa,
    }
    if signing.issuer is not None:
        found["certificate_issuer"] = inventory_name(signing.issuer)
    return found


def _revocation(revocation: PlannedRevocation, folder: Path) -> dict[str, Plain]:
    found: dict[str, Plain] = {
        **_authority(revocation.authority, folder),
        "certificate_revocation": {
            "pem": revocation.pem,
            "reason": revocation.reason,
            "by": revocation.by,
        },
    }
    if revocation.issuer is not None:
        found["certificate_issuer"] = inventory_name(revocation.issuer)
    return found


def _authority(authority: PlannedAuthority, folder: Path) -> dict[str, Plain]:
    return {
        "certificate_ca": {
            "directory": authority.directory,
            "bundle": str(folder / _bundle_file(authority)) if authority.bundle_pem else None,
            "root": str(folder / _root_file(authority)) if authority.root_pem else None,
            "email": authority.email,
            "eab_key_id": authority.eab_key_id,
        },
        "certificate_account": authority.account,
    }


def _deployment(place: PlannedDeployment) -> dict[str, Plain]:
    return {
        "id": place.id,
        "server": inventory_name(place.server),
        "service": place.service,
        "names": list(place.names),
        "listeners": list(place.listeners),
        "files": [dict(file) for file in place.files],
        "urgent": place.urgent,
    }
