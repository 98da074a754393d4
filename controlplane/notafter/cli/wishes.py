"""Commands that set work going: tick, adopt, renew, verify."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from notafter.app.rooms import clock
from notafter.cli.answer import COMMAND_LINE, AsJson, as_text, change, note, recorded, rooms, say
from notafter.cli.files import text_of
from notafter.domain.audit import Action, Detail
from notafter.domain.certificate import Challenge, ChallengeType, HttpMode, KeyType
from notafter.domain.errors import InvalidInput
from notafter.domain.names import numbered
from notafter.domain.revocation import RevocationBy, RevocationReason
from notafter.domain.rollout import WavePolicy
from notafter.lifecycle import adopt, due, incident, request
from notafter.lifecycle.adopt import Terms
from notafter.lifecycle.request import RevocationWish
from notafter.store import accounts

cli = typer.Typer()


@cli.command()
def tick() -> None:
    """Look once for what is due, and queue jobs for it; `serve` carries them out."""
    with rooms() as opened:
        made = due.tick(opened.database, clock(), opened.limits)
    say(f"jobs queued: {', '.join(str(job) for job in made)}" if made else "nothing is due")


@cli.command("adopt")
def adopt_command(  # noqa: PLR0913, PLR0917 -- one parameter an option
    account_name: Annotated[str, typer.Option("--account", help="The CA account that issues.")],
    challenge: Annotated[ChallengeType, typer.Option(help="How the names are proved.")],
    ids: Annotated[list[str] | None, typer.Argument(metavar="CERTIFICATE")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that fit these terms.")] = False,
    dns: Annotated[str | None, typer.Option(help="The DNS credential, for dns-01.")] = None,
    mode: Annotated[HttpMode | None, typer.Option(help="Who answers, for http-01.")] = None,
    webroot: Annotated[str | None, typer.Option(help="The folder, for --mode webroot.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where the issuer listens, if not where the CA asks.")
    ] = None,
    alias: Annotated[str | None, typer.Option(help="For dns-01: acme.sh's challenge alias.")] = None,
    domain_alias: Annotated[str | None, typer.Option(help="For dns-01: acme.sh's domain alias.")] = None,
    alternative: Annotated[
        list[str] | None, typer.Option(help="A CA account for when the first does not issue in time; again.")
    ] = None,
    preferred_chain: Annotated[str | None, typer.Option(help="The common name of an issuer.")] = None,
    minimum_validity: Annotated[
        float | None, typer.Option(min=1, help="Seconds; what ends sooner is refused.")
    ] = None,
    key_type: Annotated[KeyType | None, typer.Option(help="Else as it is today.")] = None,
    profile: Annotated[str | None, typer.Option(help="The CA's profile.")] = None,
    issuer: Annotated[str | None, typer.Option(help="The inventory host with acme.sh.")] = None,
    renew_before: Annotated[float | None, typer.Option(help="Seconds before the end.")] = None,
    waves: Annotated[str, typer.Option(help="How many servers get it at a time.")] = "1,10%,100%",
    max_fail_percentage: Annotated[int, typer.Option(help="How many of a hundred may fail.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Adopt found certificates: from here on they renew by themselves."""
    if everything == bool(ids):
        raise InvalidInput("name certificates to adopt, or say --all")
    with rooms() as opened, opened.database.write() as session:
        provider = accounts.credential_by_name(session, dns).provider if dns else None
        terms = Terms(
            account=account_name,
            challenge=Challenge(challenge, provider, mode, webroot, port, alias, domain_alias),
            credential=dns,
            key_type=key_type,
            profile=profile,
            issuer_host=issuer,
            renew_before=timedelta(seconds=renew_before) if renew_before else None,
            rollout=WavePolicy(tuple(map(_step, waves.split(","))), max_fail_percentage),
            alternatives=tuple(alternative or ()),
            preferred_chain=preferred_chain,
            minimum_validity=timedelta(seconds=minimum_validity) if minimum_validity else None,
        )
        if everything:
            adopted, refused = adopt.adopt_all(session, terms, clock())
        else:
            wanted = [_number(one) for one in ids or []]
            adopted, refused = adopt.adopt(session, wanted, terms, clock()), []
        keys = [row.key for row in adopted]
        for key in keys:
            note(opened, session, Action.ADOPTED, key, {"account": account_name})
    refusals = {f"crt-{one.certificate_id}": one.sentence for one in refused}
    if as_json:
        as_text({"adopted": keys, "refused": refusals})
        return
    say(f"adopted: {', '.join(keys) or 'none'}")
    for key, sentence in refusals.items():
        say(f"not adopted: {key}: {sentence}")


@cli.command()
def renew(ids: Annotated[list[str], typer.Argument(metavar="CERTIFICATE")]) -> None:
    """Queue a renewal now."""
    numbers = [_number(one) for one in ids]
    with rooms() as opened, opened.database.write() as session:
        job = request.renew(session, numbers, COMMAND_LINE, clock()).id
        for number in numbers:
            note(opened, session, Action.RENEWAL_ASKED, f"crt-{number}", {"job": job})
    say(f"job {job} will renew")


@cli.command()
def verify(ids: Annotated[list[str], typer.Argument(metavar="CERTIFICATE")]) -> None:
    """Queue a look at what is really served."""
    numbers = [_number(one) for one in ids]
    with rooms() as opened, opened.database.write() as session:
        job = request.verify(session, numbers, COMMAND_LINE, clock()).id
        for number in numbers:
            note(opened, session, Action.VERIFICATION_ASKED, f"crt-{number}", {"job": job})
    say(f"job {job} will look")


@cli.command()
def revoke(
    certificate: Annotated[str, typer.Argument(metavar="CERTIFICATE")],
    fingerprint: Annotated[str, typer.Option(help="The whole SHA-256 of the version: the confirmation.")],
    reason: Annotated[RevocationReason, typer.Option(help="RFC 5280's names.")],
    by: Annotated[RevocationBy, typer.Option(help="Who signs the wish.")] = RevocationBy.ACCOUNT,
    force_because: Annotated[
        str | None, typer.Option(help="Why, though it still serves and nothing else does.")
    ] = None,
) -> None:
    """Have one version of a certificate taken back by its CA."""
    wish = RevocationWish(_number(certificate), fingerprint.lower(), reason, by, force_because)
    said: Detail = {
        "fingerprint": fingerprint,
        "reason": reason.value,
        "by": by.value,
        "force_because": force_because,
    }
    key = f"crt-{wish.certificate_id}"
    with rooms() as opened, change(opened, Action.REVOCATION_ASKED, key, said) as session:
        asked = request.revoke(session, wish, COMMAND_LINE, clock())
        told = f"{asked.version.fingerprint} was revoked" if asked.done_at else "it will be revoked"
    say(told)


def _step(text: str) -> int | str:
    text = text.strip()
    return int(text) if text.isdecimal() else text


@cli.command()
def revoked(
    file: Annotated[
        Path | None, typer.Option(help="Serial numbers or fingerprints in hex, one a line; else stdin.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would mean.")] = False,
) -> None:
    """Tell of certificates that their CA has revoked by itself; what serves of them is renewed first."""
    marks = incident.parse(text_of(file) if file else sys.stdin.read())
    with rooms() as opened:
        told = recorded(opened, Action.INCIDENT_TOLD, "", {"marks": len(marks)})
        door = opened.database if dry_run else told
        with door.write() as session:
            found = incident.revoked(session, marks, clock())
            if dry_run:
                session.rollback()
    done = "would be" if dry_run else "are"
    say(f"{len(found.renewed)} {done} renewed at once: {', '.join(found.renewed) or 'none'}")
    say(f"{found.replaced} were replaced before, {found.unknown} are not known here")


def _number(text: str) -> int:
    number = numbered("crt", text if text.startswith("crt-") else f"crt-{text}")
    if number is None:
        raise InvalidInput(f"{text!r} is no certificate: they are named like crt-17")
    return number
