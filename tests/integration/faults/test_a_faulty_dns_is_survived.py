"""D1-D6: whatever DNS providers and servers do, an attempt ends in time, rightly named, and leaves nothing.

Each attempt has a DNS provider of its own, so that they can run at the same time.
"""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError

from tests.integration.faults.dns_attempts import DnsAttempt
from tests.lab.image import install
from tests.lab.lab import Lab
from tests.lab.name_server import SecondServer
from tests.lab.provider import Error, Provider
from tests.lab.proxy import Answer, Exchange, Fault, Kind, Proxy, Step
from tests.torture import faults
from tests.torture.attempt import Ended, Issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ERRORS = {
    "401": Error(401),
    "429": Error(429, headers=(("Retry-After", "120"),)),
    "503 to a change": Error(503, "PATCH"),
}
SLOW = 4.0  #: seconds until a slow provider's records are there
NEVER = 10_000.0


def _calls_itself(exchange: Exchange) -> None:
    """The directory says by which name CAA records know the CA (RFC 8555 section 7.1.1)."""
    answer = exchange.forward()
    directory = json.loads(answer.body)
    directory["meta"]["caaIdentities"] = ["the-lab.test"]
    exchange.reply(Answer(answer.status, answer.headers, json.dumps(directory).encode()))


CALLS_ITSELF = Fault(Kind("caa-identities", _calls_itself), Step.DIRECTORY)
LEEWAY = 45  #: seconds that a busy machine may take beyond the limit


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """acme.sh on a host of its own."""
    install(say=lambda _: None)
    with Lab.up(f"d{os.getpid()}-dns", faults.FLEET) as lab:
        yield Issuer.on(lab)


class Run:
    """One attempt that has ended, with its provider and what the CA was asked."""

    def __init__(
        self, issuer: Issuer, attempt: DnsAttempt, provider: Provider | None = None, *faults: Fault
    ) -> None:
        self.attempt = attempt
        self.provider = provider
        with Proxy.before(issuer.lab, *faults) as proxy:
            self.proxy = proxy
            self.ended: Ended = attempt.run(proxy)

    @property
    def outcome(self) -> tuple[str, int | None]:
        """The class, and when to ask again."""
        failure = self.ended.result.get("failure") or {}
        return self.ended.outcome, failure.get("retry_after")


class Play:
    """Attempts that need nothing but their time, side by side: acme.sh mostly waits."""

    def __init__(self, issuer: Issuer, stack: ExitStack) -> None:
        self._issuer = issuer
        self._stack = stack
        self._pool = stack.enter_context(ThreadPoolExecutor(faults.PARALLEL))
        self._started: dict[str, Future[Any]] = {}

    def begin(self, name: str, error: Error | None = None, delay: float = 0, **how: Any) -> None:
        """One with a DNS provider of its own."""
        provider = self._stack.enter_context(Provider(self._issuer.lab, error=error, delay=delay))
        attempt = DnsAttempt(self._issuer, provider=provider, **how)
        self._started[name] = self._pool.submit(Run, self._issuer, attempt, provider)

    def begin_in_a_circle(self, name: str) -> None:
        """One whose TXT record is an alias of itself."""
        attempt = DnsAttempt(self._issuer, dns_sleep=None)
        dns, other = self._issuer.lab.dns, f"a{attempt.number}.lab.test"
        dns.set_cname(attempt.txt_name, other)
        dns.set_cname(other, attempt.txt_name)
        self._started[name] = self._pool.submit(Run, self._issuer, attempt)

    def begin_scene(self, name: str, scene: Callable[[], Any]) -> None:
        """More than one attempt."""
        self._started[name] = self._pool.submit(scene)

    def __getitem__(self, name: str) -> Run:
        run: Run = self._started[name].result()
        return run

    def scene(self, name: str) -> Any:
        """What came of it."""
        return self._started[name].result()


@pytest.fixture(scope="module")
def runs(issuer: Issuer) -> Iterator[Play]:
    """Those that end soon."""
    with ExitStack() as stack:
        play = Play(issuer, stack)
        play.begin_scene("killed", partial(killed, issuer))
        play.begin_scene("one of two", partial(one_of_two, issuer))
        play.begin_scene("forbidden", partial(forbidden, issuer))
        play.begin("slow", delay=SLOW, dns_sleep=None)
        for name, error in ERRORS.items():
            play.begin(name, error)
        play.begin("well")
        play.begin_in_a_circle("loop")
        apex = ("five.lab.test", "*.five.lab.test")
        play.begin_scene("in one order", partial(side_by_side, issuer, apex))
        yield play


@pytest.fixture(scope="module")
def long_runs(issuer: Issuer) -> Iterator[Play]:
    """Those that have to wait."""
    with ExitStack() as stack:
        play = Play(issuer, stack)
        play.begin("silence", Error(None, "PATCH"), timeout=60)
        play.begin("silence for ever", Error(None), timeout=40)
        play.begin("never", delay=NEVER, timeout=60, dns_sleep=None)
        orders = ("six.lab.test",), ("*.six.lab.test",)
        play.begin_scene("in two orders", partial(side_by_side, issuer, *orders))
        yield play


@pytest.mark.parametrize("error", ERRORS)
def test_d1_a_dns_provider_that_fails_is_named_with_its_answer(runs: Play, error: str) -> None:
    run = runs[error]
    assert run.outcome == ("dns_provider", 120 if error == "429" else None)
    assert f"it answers {error[:3]}" in run.ended.message
    assert run.provider is not None
    assert run.provider.token not in run.ended.said
    assert run.proxy.count(Step.FINALIZE) == 0


@pytest.mark.long
@pytest.mark.parametrize("silence", ["silence", "silence for ever"])
def test_d1_a_dns_provider_that_is_silent_costs_no_more_than_the_time_of_an_attempt(
    long_runs: Play, silence: str
) -> None:
    run = long_runs[silence]
    assert run.outcome == ("dns_provider", None)
    assert "does not answer in time" in run.ended.message
    assert run.ended.seconds < run.attempt.timeout + LEEWAY


def test_d1_another_provider_is_not_touched_by_it(runs: Play) -> None:
    assert runs["well"].ended.outcome == "signed"


def test_d2_records_that_come_late_are_waited_for_at_the_authoritative_server(runs: Play) -> None:
    run = runs["slow"]
    assert run.ended.outcome == "signed"
    assert run.ended.seconds < run.attempt.timeout / 2, "it does not wait for its whole patience"


def test_d2_the_ca_is_asked_when_the_last_authoritative_server_shows_the_records(runs: Play) -> None:
    assert runs.scene("one of two") == (0, "signed")


@pytest.mark.long
def test_d2_records_that_never_come_are_waited_for_no_longer_than_said(long_runs: Play) -> None:
    run = long_runs["never"]
    assert run.ended.outcome == "challenge_failed"
    assert f"{run.attempt.txt_name} is not yet to be seen at ca.lab.test" in run.ended.message
    assert run.ended.seconds < run.attempt.timeout + LEEWAY


def test_d6_cname_records_that_lead_in_a_circle_are_told_at_once(runs: Play) -> None:
    run = runs["loop"]
    assert run.ended.outcome == "challenge_failed"
    name = run.attempt.txt_name
    assert f"in a circle: {name} -> a{run.attempt.number}.lab.test -> {name}" in run.ended.message


def test_d4_a_record_that_a_killed_run_left_is_removed_by_the_next_and_a_foreign_one_is_not(
    runs: Play,
) -> None:
    assert runs.scene("killed") == ("signed", {"somebody-else"}, "")


def test_d5_a_wildcard_and_its_apex_stand_side_by_side(runs: Play) -> None:
    outcomes, most, left = runs.scene("in one order")
    assert outcomes == ["signed"]
    assert (most, left) == ({"_acme-challenge.five.lab.test": 2}, {"_acme-challenge.five.lab.test": set()})


@pytest.mark.long
def test_d5_a_wildcard_and_its_apex_in_two_orders_at_once_do_not_disturb_each_other(long_runs: Play) -> None:
    outcomes, _most, left = long_runs.scene("in two orders")
    assert outcomes == ["signed", "signed"]
    assert left == {"_acme-challenge.six.lab.test": set()}


def test_c8_a_ca_that_the_names_forbid_is_not_asked_and_one_that_they_allow_is(runs: Play) -> None:
    first, second = runs.scene("forbidden")
    assert first.outcome == ("caa", None)
    assert (
        "CAA records of caa.lab.test let issue other.test, and this CA is the-lab.test" in first.ended.message
    )
    assert (first.proxy.count(Step.DIRECTORY), first.proxy.count(Step.NEW_ORDER)) == (1, 0)
    assert second.outcome == ("signed", None)


def forbidden(issuer: Issuer) -> tuple[Run, Run]:
    """An attempt that a record above its name forbids, and one when this CA stands beside the other."""
    name, dns = "www.caa.lab.test", issuer.lab.dns
    dns.set_caa("caa.lab.test", "other.test")
    first = Run(issuer, DnsAttempt(issuer, wanted=(name,), check_caa=True), None, CALLS_ITSELF)
    dns.set_caa("caa.lab.test", "The-Lab.test; policy=ev")
    return first, Run(issuer, DnsAttempt(issuer, wanted=(name,), check_caa=True), None, CALLS_ITSELF)


def one_of_two(issuer: Issuer) -> tuple[int, str]:
    """How often the CA is asked while one of two name servers lags, and how it ends when it does no more."""
    attempt, host = DnsAttempt(issuer, dns_sleep=None), issuer.lab.hosts["issuer"]
    with (
        SecondServer(issuer.lab, behind={attempt.txt_name}) as second,
        Proxy.before(issuer.lab) as proxy,
        ThreadPoolExecutor(1) as pool,
    ):
        ended = pool.submit(attempt.run, proxy)
        host.wait_until(lambda: bool(issuer.lab.dns.lookup(attempt.txt_name)), "no record is set", 150)
        time.sleep(3)
        asked = proxy.count(Step.CHALLENGE)
        second.behind.clear()
        return asked, ended.result().outcome


def killed(issuer: Issuer) -> tuple[str, set[str], str]:
    """`kill -9` between adding and removing; another try, the records after it, and what is still noted."""
    host = issuer.lab.hosts["issuer"]
    with Provider(issuer.lab) as provider, Proxy.before(issuer.lab) as proxy, ThreadPoolExecutor(1) as pool:
        first = DnsAttempt(issuer, provider=provider, dns_sleep=100)
        ended = pool.submit(first.run, proxy)
        host.wait_until(lambda: bool(provider.records.get(first.txt_name)), "no record is set", 150)
        time.sleep(0.5)  # acme.sh says what it has set a moment before
        first.kill()
        with pytest.raises(HostProgramError):
            ended.result()
        (left,) = provider.records[first.txt_name]
        provider.change(first.txt_name, {left, "somebody-else"})
        again = DnsAttempt(issuer, provider=provider, wanted=tuple(first.names)).run(proxy)
        noted = host.run(["grep", "-rl", first.txt_name, "/var/lib/notafter/txt"], check=False).stdout
        return again.outcome, provider.records[first.txt_name], noted


def side_by_side(
    issuer: Issuer, *orders: tuple[str, ...]
) -> tuple[list[str], dict[str, int], dict[str, set[str]]]:
    """How orders at one provider end, how many records stood at a name at most, and what is left."""
    with Provider(issuer.lab) as provider, ThreadPoolExecutor(len(orders)) as pool:
        attempts = [DnsAttempt(issuer, provider=provider, wanted=names) for names in orders]
        runs = pool.map(lambda attempt: Run(issuer, attempt).ended.outcome, attempts)
        return list(runs), provider.most, provider.records
