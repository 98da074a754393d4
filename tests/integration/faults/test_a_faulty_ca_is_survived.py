"""C1-C4, C6, C7, C10-C13: whatever the CA does, an attempt ends in time, rightly named, and harms nothing.

`make torture` has every fault at every step; here is each row of the catalogue once, and a random sample.
"""

from __future__ import annotations

import os
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError
from cryptography.hazmat.primitives.asymmetric import ec

from tests.authority import Authority, pem_of_key
from tests.integration.faults.dns_attempts import DnsAttempt
from tests.lab import proxy_faults as kinds
from tests.lab.authority import BLOCKED
from tests.lab.image import install
from tests.lab.lab import Lab
from tests.lab.plan import GATEWAY
from tests.lab.proxy import Fault, Kind, Proxy, Step
from tests.torture import faults, matrix
from tests.torture.attempt import FIRST_NAME, HOST_FOLDER, Attempt, Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.proxy import Exchange

SAMPLE = 4


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """acme.sh on a host of its own."""
    install(say=lambda _: None)
    with Lab.up(f"f{os.getpid()}-faults", faults.FLEET) as lab:
        yield Issuer.on(lab)


def cases(*wanted: tuple[Kind, Step]) -> list[matrix.Case]:
    """The matrix's cases for these, which say how they must end."""
    found = {(case.fault.kind, case.fault.step): case for case in matrix.cases()}
    return [found[kind, step] for kind, step in wanted]


def judged(issuer: Issuer, wanted: list[matrix.Case]) -> dict[str, list[str]]:
    """What is wrong with each of them; nothing is in it when all is right."""
    return {
        f"{verdict.case}: {verdict.ended.result.get('failure')}": verdict.wrong
        for verdict in faults.run(issuer, wanted)
        if verdict.wrong
    }


def test_c1_a_ca_that_wants_to_be_left_alone_is_and_until_when_is_kept(issuer: Issuer) -> None:
    limits = (kinds.RATE_LIMITED, kinds.RATE_LIMITED_DATE, kinds.RATE_LIMITED_SILENT, kinds.RATE_LIMITED_HTML)
    wanted = [*((kind, Step.NEW_ORDER) for kind in limits), (kinds.RATE_LIMITED, Step.NEW_NONCE)]
    assert judged(issuer, cases(*wanted)) == {}


def test_c2_a_ca_that_does_not_answer_rightly_costs_neither_time_nor_memory(issuer: Issuer) -> None:
    wanted = [
        (kinds.OVERLOADED_LONG, Step.DIRECTORY),
        (kinds.REFUSED, Step.DIRECTORY),
        (kinds.RESET_IN_BODY, Step.NEW_ORDER),
        (kinds.SLOW, Step.NEW_ORDER),
        (kinds.HUGE, Step.NEW_ORDER),
        (kinds.TLS_GARBAGE, Step.NEW_ORDER),
    ]
    assert judged(issuer, cases(*wanted)) == {}


def test_c2_half_of_an_answer_is_no_certificate(issuer: Issuer) -> None:
    assert judged(issuer, cases((kinds.RESET_IN_BODY, Step.CERTIFICATE))) == {}


def test_c3_a_ca_that_refuses_most_nonces_is_asked_again(issuer: Issuer) -> None:
    wanted = [(kinds.BAD_NONCE_OFTEN, Step.FINALIZE), (kinds.BAD_NONCE_MOSTLY, Step.NEW_ORDER)]
    assert judged(issuer, cases(*wanted)) == {}


def test_c4_an_order_that_is_processed_for_ever_is_left_and_no_second_is_made(issuer: Issuer) -> None:
    attempt = Attempt(issuer)
    processing = Fault(kinds.PROCESSING_LONG, Step.FINALIZE), Fault(kinds.PROCESSING_LONG, Step.ORDER, 1)
    with Proxy.before(issuer.lab, *processing) as proxy:
        ended, again, signed = (attempt.run(proxy) for _try in range(3))
        assert proxy.orders == 1
    for one in (ended, again):
        assert (one.outcome, one.result["failure"]["retry_after"]) == ("ca_unavailable", 86400)
        assert one.seconds < attempt.timeout, "it does not sit the time out"
    assert "at work" in again.message
    assert signed.outcome == "signed"


def test_c6_a_wrong_certificate_is_refused_with_the_reason(issuer: Issuer) -> None:
    wrong = (kinds.OTHER_KEY, kinds.OTHER_NAME, kinds.SHORT_LIFE, kinds.CHAIN_MISSING)
    assert judged(issuer, cases(*((kind, Step.CERTIFICATE) for kind in wrong))) == {}


@pytest.mark.parametrize(
    ("kind", "step", "outcome"),
    [(kinds.TERMS, Step.NEW_ORDER, "account"), (kinds.CAA, Step.FINALIZE, "caa")],
    ids=["new terms of service", "CAA"],
)
def test_c7_what_the_ca_refuses_for_good_is_asked_for_once(
    issuer: Issuer, kind: Kind, step: Step, outcome: str
) -> None:
    with Proxy.before(issuer.lab, Fault(kind, step)) as proxy:
        ended = Attempt(issuer).run(proxy)
        assert (ended.outcome, proxy.count(step), proxy.count(Step.NEW_ORDER)) == (outcome, 1, 1)
    assert ended.result["failure"]["type"].startswith("urn:ietf:params:acme:error:")


def test_c7_a_name_that_the_cas_policy_forbids_is_named(issuer: Issuer) -> None:
    with Proxy.before(issuer.lab) as proxy:
        ended = DnsAttempt(issuer, wanted=(f"www.{BLOCKED}",)).run(proxy)
        assert (ended.outcome, proxy.count(Step.NEW_ORDER), proxy.orders) == ("rejected_identifier", 1, 0)
    assert f"www.{BLOCKED}" in ended.message
    assert ended.result["failure"]["type"] == "urn:ietf:params:acme:error:rejectedIdentifier"


@pytest.mark.long
def test_c7_an_account_that_was_ended_is_told_and_asks_for_nothing_more(issuer: Issuer) -> None:
    ended_account = replace(
        issuer, account_key=pem_of_key(ec.generate_private_key(ec.SECP256R1())), account_path=""
    )
    with Proxy.before(issuer.lab) as proxy:
        first = Attempt(ended_account).run(proxy)
        assert first.outcome == "signed"
        ended_account.account_path = re.sub(r"^https://[^/]+", "", first.result["account"]["url"])
        deactivate(ended_account, proxy)
    with Proxy.before(issuer.lab) as proxy:
        ended = Attempt(ended_account).run(proxy)
        assert (ended.outcome, proxy.orders) == ("account", 0)
        assert proxy.count(Step.NEW_ORDER) <= 1
    assert "deactivated" in ended.message


def deactivate(issuer: Issuer, proxy: Proxy) -> None:
    """Ends an account (RFC 8555 section 7.3.6), by acme.sh itself."""
    host, home = issuer.lab.hosts["issuer"], "/root/ending"
    account = f"{home}/ca/{GATEWAY}/dir"
    host.write(f"{account}/account.key", issuer.account_key)
    host.write(f"{account}/ca.conf", f"ACCOUNT_URL='{proxy.url(issuer.account_path)}'\n")
    host.write(f"{home}/bundle.pem", proxy.https_root_pem)
    options = ["--config-home", home, "--server", proxy.directory_url, "--ca-bundle", f"{home}/bundle.pem"]
    host.run(["/usr/bin/acme.sh", "--deactivate-account", *options])
    host.run(["rm", "-r", home])


def test_c10_renewal_information_that_is_none_keeps_nothing_from_being_renewed(issuer: Issuer) -> None:
    assert judged(issuer, cases((kinds.ARI_FAR, Step.RENEWAL_INFO))) == {}


def test_c11_a_ca_that_knows_of_another_successor_is_asked_without_one(issuer: Issuer) -> None:
    replaced = Fault(kinds.REPLACED, Step.NEW_ORDER, 1)
    with Proxy.before(issuer.lab, replaced) as proxy:
        ended = Attempt(issuer, more={"replaces": issuer.first}).run(proxy)
        assert (ended.outcome, proxy.count(Step.NEW_ORDER), proxy.orders) == ("signed", 2, 1)


def test_c11_a_ca_that_does_not_know_what_is_replaced_is_asked_without_it(issuer: Issuer) -> None:
    """Pebble calls that an error of its own."""
    unknown = Authority().issue(FIRST_NAME).certificate
    with Proxy.before(issuer.lab) as proxy:
        ended = Attempt(issuer, more={"replaces": unknown}).run(proxy)
        assert (ended.outcome, proxy.count(Step.NEW_ORDER), proxy.orders) == ("signed", 2, 1)


@pytest.mark.parametrize("step", [Step.FINALIZE, Step.CERTIFICATE])
def test_c12_when_the_answer_is_lost_the_next_try_finds_the_certificate(issuer: Issuer, step: Step) -> None:
    attempt = Attempt(issuer)
    with Proxy.before(issuer.lab, Fault(kinds.LOST, step, 1)) as proxy:
        assert attempt.run(proxy).outcome == "ca_unavailable"
        signed, found = attempt.run(proxy), attempt.run(proxy)
        assert proxy.orders == 1
    assert signed.outcome == "signed"
    assert found.result["certificate"] == signed.result["certificate"]
    assert not found.result["changed"]
    assert set(attempt.left_on_host()) <= matrix.KEPT | {"fullchain.cer"}


def test_k1_what_was_killed_while_the_ca_signed_is_fetched_by_the_next_try(issuer: Issuer) -> None:
    """The CA has signed, and nobody was left to hear it."""
    attempt, host, signed = Attempt(issuer), issuer.lab.hosts["issuer"], threading.Event()

    def sign_and_keep_silent(exchange: Exchange) -> None:
        exchange.forward()
        signed.set()
        exchange.proxy.stopping.wait(150)

    fault = Fault(Kind("signs-and-keeps-silent", sign_and_keep_silent), Step.FINALIZE, 1)
    with Proxy.before(issuer.lab, fault) as proxy, ThreadPoolExecutor(1) as pool:
        killed = pool.submit(attempt.run, proxy)
        assert signed.wait(150), "nobody asks the CA to sign"
        numbers = [number for name in ("python3", "acme.sh", "curl") for number in host.pids(name)]
        host.run(["kill", "-KILL", *map(str, numbers)])
        with pytest.raises(HostProgramError):
            killed.result()
        assert attempt.run(proxy).outcome == "signed"
        assert proxy.orders == 1


def test_k1_what_was_killed_while_the_certificate_came_is_fetched_by_the_next_try(issuer: Issuer) -> None:
    attempt, host = Attempt(issuer), issuer.lab.hosts["issuer"]
    with (
        Proxy.before(issuer.lab, Fault(kinds.SILENT, Step.CERTIFICATE, 1)) as proxy,
        ThreadPoolExecutor(1) as pool,
    ):
        killed = pool.submit(attempt.run, proxy)
        host.wait_until(lambda: proxy.count(Step.CERTIFICATE) == 1, "nobody asks for the certificate", 150)
        host.run(["kill", "-KILL", *map(str, host.pids("python3"))])
        leader = host.read(f"{HOST_FOLDER}/attempts/{attempt.name}/process")
        host.run(["kill", "-KILL", "--", f"-{leader}"])
        with pytest.raises(HostProgramError):
            killed.result()
        with Proxy.before(issuer.lab) as calm:  # it tidies up what the killed one has left
            assert Attempt(issuer).run(calm).outcome == "signed"
        assert set(attempt.left_on_host()) == matrix.KEPT
        assert attempt.run(proxy).outcome == "signed"
        assert proxy.orders == 1


def test_c12_an_order_that_came_to_nothing_is_forgotten(issuer: Issuer) -> None:
    """The CA has lost what it was finalizing, or the certificate is for somebody else: one order more."""
    attempt = Attempt(issuer)
    gone = Fault(kinds.RESET, Step.FINALIZE, 1), Fault(kinds.ARI_NOT_FOUND, Step.ORDER, 1)
    with Proxy.before(issuer.lab, *gone) as proxy:
        assert [attempt.run(proxy).outcome for _try in range(2)] == ["ca_unavailable", "signed"]
        assert proxy.orders == 2


def test_c13_a_ca_that_moved_or_is_somebody_else_is_told(issuer: Issuer) -> None:
    wanted = [(kinds.MOVED, Step.DIRECTORY), (kinds.TLS_UNTRUSTED, Step.DIRECTORY)]
    assert judged(issuer, cases(*wanted)) == {}


def test_goal_k_a_random_sample_of_faults_and_steps_ends_as_it_must(issuer: Issuer) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed:x}: python -m tests.torture --faults --seed {seed:x} --size {SAMPLE}")
    assert judged(issuer, faults.sample(seed, SAMPLE)) == {}


def test_every_fault_of_the_proxy_has_its_case() -> None:
    assert matrix.kinds_missing() == set()
