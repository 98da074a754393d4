"""D1-D6: whatever DNS providers and servers do, an attempt ends in time, rightly named, and leaves nothing.

Each attempt has a DNS provider of its own, so that they can run at the same time.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError

from tests.integration.faults.dns_attempts import DnsAttempt
from tests.lab.image import install
from tests.lab.lab import Lab
from tests.lab.provider import Error, Provider
from tests.lab.proxy import Proxy, Step
from tests.torture import faults
from tests.torture.attempt import Ended, Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

ERRORS = {
    "401": Error(401),
    "429": Error(429, headers=(("Retry-After", "120"),)),
    "503 to a change": Error(503, "PATCH"),
    "silence": Error(None, "PATCH"),
}
SLOW = 5.0  #: seconds until a slow provider's records are there
NEVER = 10_000.0


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """acme.sh on a host of its own."""
    install(say=lambda _: None)
    with Lab.up(f"d{os.getpid()}-dns", faults.FLEET) as lab:
        yield Issuer.on(lab)


class Run:
    """One attempt that has ended, with its provider and what the CA was asked."""

    def __init__(self, issuer: Issuer, attempt: DnsAttempt, provider: Provider | None = None) -> None:
        self.attempt = attempt
        self.provider = provider
        with Proxy.before(issuer.lab) as proxy:
            self.proxy = proxy
            self.ended: Ended = attempt.run(proxy)

    @property
    def outcome(self) -> tuple[str, int | None]:
        """The class, and when to ask again."""
        failure = self.ended.result.get("failure") or {}
        return self.ended.outcome, failure.get("retry_after")


@pytest.fixture(scope="module")
def runs(issuer: Issuer) -> Iterator[dict[str, Run]]:
    """All attempts that need nothing but their time, side by side: acme.sh mostly waits."""
    with ExitStack() as stack, ThreadPoolExecutor(faults.PARALLEL) as pool:

        def one(
            error: Error | None = None, delay: float = 0, timeout: int = 150, sleep: int | None = 0
        ) -> Run:
            provider = stack.enter_context(Provider(issuer.lab, error=error, delay=delay))
            return Run(issuer, DnsAttempt(issuer, timeout, provider=provider, dns_sleep=sleep), provider)

        def loop() -> Run:
            attempt = DnsAttempt(issuer, dns_sleep=None)
            issuer.lab.dns.set_cname(attempt.txt_name, f"a{attempt.number}.lab.test")
            issuer.lab.dns.set_cname(f"a{attempt.number}.lab.test", attempt.txt_name)
            return Run(issuer, attempt)

        started = {
            "silence": pool.submit(one, ERRORS["silence"], timeout=40),
            "never": pool.submit(one, delay=NEVER, timeout=30, sleep=None),
            "slow": pool.submit(one, delay=SLOW, sleep=None),
            **{name: pool.submit(one, error) for name, error in ERRORS.items() if name != "silence"},
            "well": pool.submit(one),
            "loop": pool.submit(loop),
        }
        yield {name: run.result() for name, run in started.items()}


@pytest.mark.parametrize("error", ERRORS)
def test_d1_a_dns_provider_that_fails_is_named_with_its_answer(runs: dict[str, Run], error: str) -> None:
    run = runs[error]
    told = {"silence": "does not answer in time"}.get(error, f"it answers {error[:3]}")
    assert run.outcome == ("dns_provider", 120 if error == "429" else None)
    assert told in run.ended.message
    assert run.provider is not None
    assert run.provider.token not in run.ended.said
    assert run.proxy.count(Step.FINALIZE) == 0


def test_d1_another_provider_is_not_touched_by_it(runs: dict[str, Run]) -> None:
    assert runs["well"].ended.outcome == "signed"


def test_d2_records_that_come_late_are_waited_for_at_the_authoritative_server(runs: dict[str, Run]) -> None:
    run = runs["slow"]
    assert run.ended.outcome == "signed"
    assert run.ended.seconds < run.attempt.timeout / 2, "it does not wait for its whole patience"


def test_d2_records_that_never_come_are_waited_for_no_longer_than_said(runs: dict[str, Run]) -> None:
    run = runs["never"]
    assert run.ended.outcome == "challenge_failed"
    assert f"{run.attempt.txt_name} is not yet to be seen at ca.lab.test" in run.ended.message


def test_d6_cname_records_that_lead_in_a_circle_are_told_at_once(runs: dict[str, Run]) -> None:
    run = runs["loop"]
    assert run.ended.outcome == "challenge_failed"
    name = run.attempt.txt_name
    assert f"in a circle: {name} -> a{run.attempt.number}.lab.test -> {name}" in run.ended.message


def test_d4_a_record_that_a_killed_run_left_is_removed_by_the_next_and_a_foreign_one_is_not(
    issuer: Issuer,
) -> None:
    host = issuer.lab.hosts["issuer"]
    with Provider(issuer.lab) as provider, Proxy.before(issuer.lab) as proxy, ThreadPoolExecutor(1) as pool:
        killed = DnsAttempt(issuer, provider=provider, dns_sleep=100)
        ended = pool.submit(killed.run, proxy)
        host.wait_until(lambda: bool(provider.records.get(killed.txt_name)), "no record is set", 150)
        time.sleep(0.5)  # acme.sh says what it has set a moment before
        killed.kill()
        with pytest.raises(HostProgramError):
            ended.result()
        (left,) = provider.records[killed.txt_name]
        provider.change(killed.txt_name, {left, "somebody-else"})
        again = DnsAttempt(issuer, provider=provider, wanted=tuple(killed.names))
        assert again.run(proxy).outcome == "signed"
        assert provider.records[killed.txt_name] == {"somebody-else"}
        assert host.run(["find", "/var/lib/notafter/txt", "-type", "f"]).stdout == ""


def test_d5_a_wildcard_and_its_apex_stand_side_by_side(issuer: Issuer) -> None:
    def order(provider: Provider, *names: str) -> str:
        return Run(issuer, DnsAttempt(issuer, provider=provider, wanted=names)).ended.outcome

    with Provider(issuer.lab) as one, Provider(issuer.lab) as two, ThreadPoolExecutor(3) as pool:
        both = pool.submit(order, one, "five.lab.test", "*.five.lab.test")
        apart = [pool.submit(order, two, name) for name in ("six.lab.test", "*.six.lab.test")]
        assert [both.result(), *(run.result() for run in apart)] == ["signed"] * 3
        assert one.most == {"_acme-challenge.five.lab.test": 2}
        assert one.records == {"_acme-challenge.five.lab.test": set()}
        assert two.records == {"_acme-challenge.six.lab.test": set()}
