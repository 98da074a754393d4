"""Every fault of the proxy at every step of ACME that it makes sense at, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tests.lab import proxy_faults as kinds
from tests.lab.proxy import Fault, Kind, Proxy, Step
from tests.torture.attempt import Attempt, Ended, Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

#: In the order of an attempt; the account is registered before.
STEPS = (
    *(Step.DIRECTORY, Step.NEW_NONCE, Step.NEW_ORDER, Step.AUTHORIZATION, Step.CHALLENGE),
    *(Step.FINALIZE, Step.ORDER, Step.CERTIFICATE),
)
POSTS = STEPS[2:]
GETS = STEPS[:2]
#: A nonce that is not given is asked for in another way.
ALL_BUT_NONCE = (Step.DIRECTORY, *POSTS)
LEEWAY = 45  #: seconds that a busy machine may take beyond the limit
KEPT = {"lock", "about.json", "order.json"}  #: what an ended attempt leaves on the issuer beside certificates
MOST_BYTES = 16 << 20  #: of a body of 1 GiB; most of it are buffers between the two
_DAY = 86400


@dataclass(frozen=True)
class Case:
    """A fault, and how the attempt that meets it must end."""

    fault: Fault
    outcome: str
    told: str = ""  #: what the reason must say
    retry_after: int | None = None
    quiet: bool = False  #: the CA is asked nothing more once it has said so
    pause: float = 0  #: or nothing for so many seconds
    timeout: int = 150
    more: dict[str, Any] = field(default_factory=dict, hash=False)

    @override
    def __str__(self) -> str:
        return str(self.fault)


@dataclass(frozen=True)
class Verdict:
    """What came of a case."""

    case: Case
    ended: Ended
    wrong: list[str]
    early: int  #: requests before the time that the CA named
    double: int  #: orders beyond one


def cases() -> list[Case]:
    """All of them."""
    made = (_too_much, _unwell, _refusals, _transport, _orders, _certificates, _renewal_information)
    return [case for make in made for case in make()]


def _too_much() -> Iterator[Case]:
    long = kinds.LONG
    for step in STEPS:
        words = "too many" if step is not Step.NEW_NONCE else ""
        yield Case(Fault(kinds.RATE_LIMITED, step), "rate_limited", words, long, quiet=True)
        yield Case(Fault(kinds.RATE_LIMITED_DATE, step), "rate_limited", "", long, quiet=True)
        yield Case(Fault(kinds.RATE_LIMITED_SILENT, step), "rate_limited", words, quiet=True)
        yield Case(Fault(kinds.RATE_LIMITED_HTML, step), "rate_limited", "429", long, quiet=True)


def _unwell() -> Iterator[Case]:
    down = "ca_unavailable"
    for step in STEPS:
        yield Case(Fault(kinds.OVERLOADED_LONG, step), down, "503", kinds.LONG, quiet=True)
        date = "come again" if step is not Step.NEW_NONCE else "503"
        yield Case(Fault(kinds.OVERLOADED_DATE, step), down, date, kinds.LONG, quiet=True)
        yield Case(Fault(kinds.OVERLOADED_FOR_EVER, step), down, "503", _DAY, quiet=True)
    for step in POSTS:
        yield Case(Fault(kinds.OVERLOADED, step, 1), "signed")
        yield Case(Fault(kinds.BAD_GATEWAY, step, 1), "signed")
        yield Case(Fault(kinds.OVERLOADED_SHORT, step, 1), "signed", pause=kinds.SHORT)
        yield Case(Fault(kinds.BAD_NONCE_OFTEN, step), "signed")
        yield Case(Fault(kinds.BAD_NONCE_MOSTLY, step), "signed")
    for step in GETS:
        yield Case(Fault(kinds.OVERLOADED_SHORT, step), down, "503", kinds.SHORT, quiet=True)
    yield Case(Fault(kinds.OVERLOADED, Step.NEW_ORDER), down, "did not end within", timeout=40)
    yield Case(Fault(kinds.BAD_GATEWAY, Step.FINALIZE), down, "did not end within", timeout=40)
    for step in ALL_BUT_NONCE:
        yield Case(Fault(kinds.INTERNAL, step), down, "the database is away")
        yield Case(Fault(kinds.MAINTENANCE, step), down)
        yield Case(Fault(kinds.EMPTY, step), down)
    for kind in (kinds.INTERNAL, kinds.MAINTENANCE, kinds.EMPTY):
        yield Case(Fault(kind, Step.NEW_NONCE, 1), "signed")


def _refusals() -> Iterator[Case]:
    for step in (Step.NEW_ORDER, Step.AUTHORIZATION, Step.CHALLENGE, Step.FINALIZE):
        yield Case(Fault(kinds.ACCOUNT_GONE, step), "account", "unknown account")
        yield Case(Fault(kinds.TERMS, step), "account", "terms of service")
        yield Case(Fault(kinds.REJECTED, step), "rejected_identifier", "policy forbids")
        yield Case(Fault(kinds.CAA, step), "caa", "prevents issuance")
    yield Case(Fault(kinds.REPLACED, Step.NEW_ORDER), "invalid_request", "replaced already")
    yield Case(Fault(kinds.REPLACED, Step.NEW_ORDER, 1), "signed", more={"replaces": True})


def _transport() -> Iterator[Case]:
    down = "ca_unavailable"
    for kind in (kinds.RESET, kinds.RESET_IN_BODY, kinds.LOST):
        for step in ALL_BUT_NONCE:
            yield Case(Fault(kind, step), down, "breaks off")
        yield Case(Fault(kind, Step.NEW_NONCE, 1), "signed")
    for step in ALL_BUT_NONCE:
        yield Case(Fault(kinds.SILENT, step), down, "does not answer in time", timeout=60)
        yield Case(Fault(kinds.SLOW, step), down, "does not answer in time", timeout=60)
        yield Case(Fault(kinds.HUGE, step), down, "too large")
        yield Case(Fault(kinds.HUGE_ANNOUNCED, step), down, "too large")
    yield Case(Fault(kinds.SILENT, Step.NEW_NONCE, 1), "signed", timeout=100)
    yield Case(Fault(kinds.LOST, Step.NEW_NONCE), down, "gives no nonce")
    yield Case(Fault(kinds.MOVED, Step.DIRECTORY), down, "refuses the connection")
    for step in STEPS:
        yield Case(Fault(kinds.REFUSED, step), down, "refuses the connection")
        yield Case(Fault(kinds.TLS_WRONG_NAME, step), down, "not for this name")
        yield Case(Fault(kinds.TLS_UNTRUSTED, step), down, "TLS")
        yield Case(Fault(kinds.TLS_ENDED, step), down, "not trusted")
        yield Case(Fault(kinds.TLS_GARBAGE, step), down, "TLS")
        yield Case(Fault(kinds.TLS_PLAIN, step), down, "TLS")
    yield Case(Fault(kinds.TLS_SILENT, Step.NEW_ORDER), down, "does not answer in time", timeout=60)


def _orders() -> Iterator[Case]:
    down = "ca_unavailable"
    yield Case(Fault(kinds.PROCESSING, Step.FINALIZE, 1), "signed")
    yield Case(Fault(kinds.PROCESSING, Step.ORDER, 2), "signed")
    yield Case(Fault(kinds.PROCESSING, Step.ORDER), down, "did not end within", timeout=40)
    for step in (Step.FINALIZE, Step.ORDER):
        yield Case(Fault(kinds.PROCESSING_LONG, step), down, "86400 s", _DAY, quiet=True)


def _certificates() -> Iterator[Case]:
    reasons = {
        kinds.OTHER_NAME: "the certificate is not for",
        kinds.NAME_LEFT_OUT: "the certificate is not for",
        kinds.OTHER_KEY: "another key than the request's",
        kinds.ENDED: "the certificate ended at",
        kinds.NOT_YET_VALID: "the certificate is valid from",
        kinds.ISSUER_ENDED: "of the chain ended at",
        kinds.CHAIN_MISSING: "sent no chain",
        kinds.CHAIN_MISORDERED: "has not signed the certificate",
        kinds.CHAIN_OF_ANOTHER: "has not signed the certificate",
    }
    for kind, told in reasons.items():
        yield Case(Fault(kind, Step.CERTIFICATE), "wrong_certificate", told)
    yield Case(Fault(kinds.NO_CERTIFICATE, Step.CERTIFICATE), "ca_unavailable", "Signing failed")
    more: dict[str, Any] = {"minimum_validity": _DAY}
    yield Case(Fault(kinds.SHORT_LIFE, Step.CERTIFICATE), "wrong_certificate", "were asked for", more=more)
    more = {"root": True}
    yield Case(Fault(kinds.OTHER_ROOT, Step.CERTIFICATE), "wrong_certificate", "the given root", more=more)


def _renewal_information() -> Iterator[Case]:
    for kind in (
        kinds.ARI_BACKWARDS,
        kinds.ARI_FAR,
        kinds.ARI_NOT_FOUND,
        kinds.ARI_INTERNAL,
        kinds.ARI_NO_JSON,
    ):
        yield Case(Fault(kind, Step.RENEWAL_INFO), "signed", more={"replaces": True})


def judge(issuer: Issuer, case: Case) -> Verdict:
    """Runs an attempt into a fault, and says what is wrong with how it ended."""
    with TemporaryDirectory() as folder, Proxy.before(issuer.lab, case.fault) as proxy:
        attempt = Attempt(issuer, case.timeout, _more(issuer, case, Path(folder)))
        ended = attempt.run(proxy)
        early = _early(case, proxy)
        double = max(0, proxy.orders - 1)
        wrong = [*_wrong(case, ended), *_kept(attempt, ended)]
        wrong += [f"{proxy.sent} bytes were read"] if proxy.sent > MOST_BYTES else []
        met = any(asked.faulty for asked in proxy.asked) or case.fault.kind.act is None
    wrong += [f"{early} requests before the CA's time"] if early else []
    wrong += [f"{double} orders too many"] if double else []
    if not met and case.fault.step is not Step.RENEWAL_INFO:
        wrong.append("the fault was not met")
    return Verdict(case, ended, wrong, early, double)


def _more(issuer: Issuer, case: Case, folder: Path) -> dict[str, Any]:
    more = dict(case.more)
    if more.get("replaces"):
        more["replaces"] = issuer.first
    if more.pop("root", False):
        (folder / "root.pem").write_text(issuer.first_root, encoding="ascii")
        more["ca"] = {"root": str(folder / "root.pem")}
    return more


def _wrong(case: Case, ended: Ended) -> list[str]:
    wrong = []
    if ended.outcome != case.outcome:
        wrong.append(f"{ended.outcome} instead of {case.outcome}")
    elif case.outcome != "signed":
        if case.told not in ended.message:
            wrong.append(f"the reason does not say {case.told!r}")
        given = ended.result["failure"]["retry_after"]
        if not _near(given, case.retry_after):
            wrong.append(f"Retry-After {given} instead of {case.retry_after}")
    if ended.seconds > case.timeout + LEEWAY:
        wrong.append(f"it took {ended.seconds:.0f} s, the limit was {case.timeout} s")
    return wrong


def _near(given: int | None, expected: int | None) -> bool:
    """A date was some seconds further away when the CA named it."""
    if given is None or expected is None:
        return given is expected
    return expected - 2 * LEEWAY <= given <= expected


def _early(case: Case, proxy: Proxy) -> int:
    """How many requests came before the time that the CA had named."""
    told = [asked.at for asked in proxy.asked if asked.faulty]
    if not told or not (case.quiet or case.pause):
        return 0
    return sum(
        asked.at > told[0] and (case.quiet or asked.at < told[0] + case.pause - 0.5) for asked in proxy.asked
    )


def _kept(attempt: Attempt, ended: Ended) -> list[str]:
    """Secrets in what was said, and files that an ended attempt must not leave."""
    shown = ended.said + repr(ended.result)
    wrong = ["a secret is in the output" for secret in attempt.secrets() if secret in shown]
    left = [name for name in attempt.left_on_host() if name not in KEPT and not name.endswith(".cer")]
    return wrong + [f"{name} was left on the host" for name in left]


def kind_names() -> set[str]:
    """The kinds that some case has."""
    return {case.fault.kind.name for case in cases()}


def kinds_missing() -> set[str]:
    """Kinds of the proxy that no case has."""
    every: dict[str, Kind] = kinds.KINDS
    return set(every) - kind_names()
