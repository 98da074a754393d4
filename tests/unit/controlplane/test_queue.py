"""Which due certificates are taken now, and why the others wait."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.backoff import next_attempt
from notafter.domain.breaker import CA, Breaker, Failed, Open, Probing, Succeeded, after
from notafter.domain.budget import Budget, Key, Limit, Order
from notafter.domain.outcome import FailureClass
from notafter.domain.queue import (
    Candidate,
    Chosen,
    Means,
    Way,
    candidate,
    choose,
    deadline,
    elsewhere_at,
    second_account_at,
)
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.renewal import why_due
from notafter.domain.version import RenewalWindow

from tests.factories import DAY, NOW, renewal_facts, version

HOUR = timedelta(hours=1)
TEN_A_DAY = Limit("orders", Key.ACCOUNT, 10, DAY)
SHUT = Open(NOW - HOUR, NOW + HOUR, 1, FailureClass.CA_UNAVAILABLE)
AJAR = Open(NOW - HOUR, NOW, 1, FailureClass.CA_UNAVAILABLE)


def due(
    key: str,
    ends: datetime = NOW + 10 * DAY,
    code: ReasonCode = ReasonCode.THRESHOLD,
    *,
    accounts: tuple[str, ...] = ("first",),
    second_at: datetime = NOW + 5 * DAY,
) -> Candidate:
    ways = tuple(Way(account, Order((f"{key}.example",)), (account,)) for account in accounts)
    return Candidate(key, Reason(code, "because"), ends, ways, second_at)


def means(free: int = 100, *limits: Limit, breaker: Breaker | None = None, reserve: float = 0.2) -> Means:
    budgets = {name: Budget(name, limits if name == "first" else (), reserve) for name in ("first", "second")}
    breakers = {} if breaker is None else {"first": breaker}
    return Means(budgets, breakers, free=free, room=free, reserve=reserve)


def keys(chosen: Chosen) -> list[str]:
    return [one.key for one in chosen.taken]


def test_the_earliest_deadline_is_taken_first_and_before_it_what_cannot_wait() -> None:
    candidates = [
        due("late", NOW + 30 * DAY),
        due("soon", NOW + 2 * DAY),
        due("wished", NOW + 80 * DAY, ReasonCode.REQUESTED),
        due("ending", NOW + DAY, ReasonCode.EMERGENCY),
    ]
    assert keys(choose(candidates, means(), NOW)) == ["ending", "wished", "soon", "late"]


def test_who_finds_no_room_is_told_so_and_the_reserve_is_for_emergencies() -> None:
    candidates = [due(f"n{number}", NOW + number * DAY) for number in range(10)]
    chosen = choose(candidates, means(10), NOW)
    assert keys(chosen) == [f"n{number}" for number in range(8)]
    assert {one.reason.code for one in chosen.left} == {ReasonCode.QUEUED}
    assert "waits its turn" in chosen.left[0].reason.sentence
    pressing = [due(f"n{number}", code=ReasonCode.REVOKED) for number in range(12)]
    assert len(choose(pressing, means(10), NOW).taken) == 10


def test_what_is_taken_is_spent_so_that_one_tick_does_not_overdraw_an_account() -> None:
    chosen = choose([due(f"n{number}") for number in range(30)], means(100, TEN_A_DAY), NOW)
    assert len(chosen.taken) == 8
    assert {one.reason.code for one in chosen.left} == {ReasonCode.OVER_BUDGET}
    assert {one.at for one in chosen.left} == {NOW + DAY}
    assert "10 orders in 1 days" in chosen.left[0].reason.sentence


def test_one_probe_goes_through_a_breaker_whose_time_has_come_and_the_others_wait() -> None:
    kit = means(breaker=AJAR)
    chosen = choose([due("b"), due("a", NOW + DAY)], kit, NOW)
    assert keys(chosen) == ["a"]
    assert chosen.left[0].reason.code == ReasonCode.BREAKER_OPEN
    assert isinstance(kit.breakers["first"], Probing)


def ending(key: str, left: timedelta, life: timedelta) -> Candidate:
    facts = renewal_facts(version(life, age=life - left))
    return candidate(
        facts, Reason(ReasonCode.EMERGENCY, "x"), key, (Way("first", Order(("x",)), ("first",)),)
    )


def test_an_open_breaker_lets_through_one_of_those_that_cannot_wait_for_it() -> None:
    just = Open(NOW - HOUR, NOW + HOUR, 4, FailureClass.CA_UNAVAILABLE, NOW - HOUR / 60)
    soon, dead = ending("soon", HOUR / 10, 90 * DAY), ending("dead", -DAY, 90 * DAY)
    assert keys(choose([soon, ending("late", 18 * DAY, 90 * DAY)], means(breaker=just), NOW)) == ["soon"]
    assert keys(choose([dead], means(breaker=just), NOW)) == []
    assert keys(choose([dead, soon], means(breaker=just), NOW + HOUR / 15)) == ["dead"]


@given(st.timedeltas(timedelta(minutes=2), 400 * DAY), st.floats(0, 0.99), st.floats(0, 1))
def test_no_certificate_waits_for_a_breaker_longer_than_its_life_allows(
    life: timedelta, gone: float, since: float
) -> None:
    left = life * (1 - gone)
    failed_at = NOW - min(left * since, HOUR)
    shut = Open(failed_at, failed_at + HOUR, 9, FailureClass.DNS_PROVIDER, failed_at)
    chosen = choose([ending("a", left, life)], means(breaker=shut), NOW)
    for one in chosen.left:
        assert one.at is not None
        assert one.at - NOW <= max((left + (NOW - failed_at)) / 4, life / 24)


def test_an_outage_of_seconds_costs_no_certificate_of_four_minutes_its_life() -> None:
    for begins in (100, 110, 120, 230):
        assert lived_through(begins, begins + 25) == []


def lived_through(begins: int, ends: int) -> list[str]:
    """Nine certificates of the demo, a CA away for a while, a tick a second; returns which ran out."""
    life, second = timedelta(seconds=240), timedelta(seconds=1)
    current = {f"c{n}": version(life, serial=f"{n}", now=NOW + n * second) for n in range(9)}
    kit, failures, again = means(), dict.fromkeys(current, 0), dict.fromkeys(current, NOW)
    out: dict[str, tuple[int, bool]] = {}
    expired: list[str] = []
    for tick in range(900):
        now = NOW + tick * second
        for key in [key for key, (at, _) in out.items() if at == tick]:
            _, good = out.pop(key)
            event = Succeeded(key, now) if good else Failed(key, now, FailureClass.CA_UNAVAILABLE)
            kit.breakers["first"] = after(CA, [event], kit.breakers.get("first"))
            failures[key] = 0 if good else failures[key] + 1
            if good:
                current[key] = version(life, serial=f"{key}{tick}", now=now)
            else:
                again[key] = next_attempt(now, failures[key], key, current[key], FailureClass.CA_UNAVAILABLE)
        expired += [key for key, one in current.items() if one.not_after <= now]
        waiting = []
        for key, one in current.items():
            facts = renewal_facts(one, next_attempt_at=again[key], in_progress=key in out)
            decision = why_due(facts, now)
            if decision.due:
                waiting.append(
                    candidate(facts, decision.reason, key, (Way("first", Order((key,)), ("first",)),))
                )
        for taken in choose(waiting, kit, now).taken:
            good = not begins <= tick < ends
            out[taken.key] = (tick + (15 if good else 5), good)
    return expired


def test_a_shut_breaker_says_since_when_and_when_it_is_tried_again() -> None:
    left = choose([due("a")], means(breaker=SHUT), NOW).left[0]
    assert left.at == NOW + HOUR
    assert "first is not asked: ca_unavailable" in left.reason.sentence


def test_the_second_account_is_used_near_the_deadline_when_the_first_is_down_or_spent() -> None:
    both = ("first", "second")
    early = due("early", accounts=both)
    near = due("near", accounts=both, second_at=NOW)
    for kit in (means(breaker=SHUT), means(100, Limit("orders", Key.ACCOUNT, 1, DAY))):
        kit.budgets["first"].ordered(Order(("x.example",)), NOW)
        chosen = choose([early, near], kit, NOW)
        assert [(one.key, one.account) for one in chosen.taken] == [("near", "second")]
        assert [one.key for one in chosen.left] == ["early"]


def test_the_second_account_is_left_alone_while_the_first_works() -> None:
    chosen = choose([due("a", accounts=("first", "second"), second_at=NOW)], means(), NOW)
    assert chosen.taken[0].account == "first"


def test_who_waits_for_the_first_is_looked_at_again_when_the_second_may_be_used() -> None:
    one = due("a", accounts=("first", "second"), second_at=NOW + HOUR / 2)
    assert choose([one], means(breaker=SHUT), NOW).left[0].at == NOW + HOUR / 2


def test_a_certificate_without_an_account_waits_with_its_reason() -> None:
    assert choose([due("a", accounts=())], means(), NOW).left[0].reason.code == ReasonCode.NO_ACCOUNT


def test_a_certificate_that_the_ca_is_about_to_revoke_has_the_end_of_the_window_as_its_deadline() -> None:
    window = RenewalWindow(NOW - HOUR, NOW - HOUR / 2)
    facts = renewal_facts(version(age=20 * DAY, window=window))
    made = candidate(facts, Reason(ReasonCode.CA_HURRIES, "x"), "crt-1", ())
    assert (made.deadline, made.urgent) == (window.end, True)
    assert deadline(version(age=DAY)) == NOW + 89 * DAY


def test_a_second_ca_is_for_the_last_quarter_and_of_a_short_life_for_a_little_more() -> None:
    assert second_account_at(version(80 * DAY)) == NOW + 60 * DAY
    assert second_account_at(version(8 * DAY)) == NOW + 5 * DAY
    assert second_account_at(version(80 * DAY, revoked_at=NOW - HOUR)) == NOW - HOUR, (
        "what was revoked has none"
    )


def test_c8_the_reason_says_with_which_account_and_what_became_of_the_first() -> None:
    near = due("near", accounts=("first", "second"), second_at=NOW)
    (taken,) = choose([near], means(breaker=SHUT), NOW).taken
    assert taken.reason.code == ReasonCode.THRESHOLD
    assert taken.reason.sentence.startswith(
        "because; with second, because first is not asked: ca_unavailable"
    )


def test_c8_near_the_deadline_the_ca_that_has_failed_it_least_often_is_asked() -> None:
    near = due("near", accounts=("first", "second", "third"), second_at=NOW)
    kit = means()
    asked = []
    for _ in range(6):
        (taken,) = choose([near], kit, NOW).taken
        asked.append(taken.account)
        kit.setbacks[taken.account, "near"] = kit.setbacks.get((taken.account, "near"), 0) + 1
    assert asked == ["first", "second", "third"] * 2
    assert "with second, because first has failed it 1 times" in _reason_after(near, {"first": 1})
    early = due("early", accounts=("first", "second"))
    kit.setbacks["first", "early"] = 9
    assert choose([early], kit, NOW).taken[0].account == "first"


def _reason_after(one: Candidate, setbacks: dict[str, int]) -> str:
    kit = means()
    kit.setbacks.update({(name, one.key): times for name, times in setbacks.items()})
    return choose([one], kit, NOW).taken[0].reason.sentence


def test_c8_who_has_another_ca_to_ask_does_not_wait_for_the_first() -> None:
    old, young = version(80 * DAY, age=70 * DAY), version(80 * DAY)
    assert elsewhere_at(old, [1, 0], 0, NOW) == NOW + timedelta(minutes=1)
    assert elsewhere_at(young, [1, 0], 0, NOW) == NOW + 60 * DAY
    assert elsewhere_at(old, [1, 1], 1, NOW) is None, "each has failed as often: the usual wait"
    assert elsewhere_at(old, [1], 0, NOW) is None
    assert elsewhere_at(None, [1, 0], 0, NOW) is None


codes = st.sampled_from([ReasonCode.THRESHOLD, ReasonCode.EMERGENCY, ReasonCode.CA_ASKS])


@given(
    st.lists(st.tuples(st.integers(0, 50), codes), max_size=40),
    st.integers(0, 40),
    st.integers(1, 40),
)
def test_each_is_taken_or_told_why_not_and_no_limit_is_passed(
    wishes: list[tuple[int, ReasonCode]], free: int, count: int
) -> None:
    candidates = [due(f"n{n}", NOW + day * DAY, code) for n, (day, code) in enumerate(wishes)]
    chosen = choose(candidates, means(free, Limit("orders", Key.ACCOUNT, count, DAY)), NOW)
    assert sorted([*keys(chosen), *(one.key for one in chosen.left)]) == sorted(one.key for one in candidates)
    assert len(chosen.taken) <= min(free, count)
    assert all(one.reason.sentence for one in chosen.left)
