"""What an account may still order."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.budget import (
    PUBLISHED,
    Allowed,
    Budget,
    Key,
    Limit,
    Order,
    OrderKind,
    Wait,
    kind_of,
    limit_named,
    limits_of,
    ordinary,
)
from notafter.domain.registered import registered_domain

from tests.factories import DAY, NOW

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
HOUR = timedelta(hours=1)


def key_of(wait: Wait) -> Key | None:
    """What the limit counts by that is waited for."""
    return wait.limit.key if wait.limit is not None else None


def budget(reserve: float = 0.0, directory: str = LETS_ENCRYPT) -> Budget:
    return Budget("main", limits_of(directory), reserve)


@pytest.mark.parametrize(
    ("name", "registered"),
    [
        ("www.example.com", "example.com"),
        ("*.shop.example.co.uk", "example.co.uk"),
        ("me.github.io", "me.github.io"),
        ("github.io", "github.io"),
        ("a.b.lab.test", "lab.test"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a.xn--55qx5d.cn", "a.xn--55qx5d.cn"),
        ("intranet", "intranet"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_a_registered_domain_is_a_public_suffix_and_one_label(name: str, registered: str) -> None:
    assert registered_domain(name) == registered


def test_lets_encrypts_limits_are_known_and_other_cas_have_none_unless_somebody_says_so() -> None:
    assert [limit.count for limit in limits_of(LETS_ENCRYPT)] == [300, 50, 5, 5]
    assert limits_of("https://10.9.0.2:14000/dir") == ()
    (own,) = limits_of("https://ca.corp.example/acme", {Key.ACCOUNT: 7})
    assert (own.count, own.span, own.spares) == (7, 3 * HOUR, frozenset())


def test_an_operators_limit_takes_the_place_of_the_cas_and_none_takes_it_away() -> None:
    kept = limits_of(LETS_ENCRYPT, {Key.ACCOUNT: 3000, Key.EXACT_SET: None})
    assert [(limit.key, limit.count) for limit in kept] == [
        (Key.ACCOUNT, 3000),
        (Key.REGISTERED_DOMAIN, 50),
        (Key.FAILED_AUTHORISATION, 5),
    ]
    assert OrderKind.REPLACES in kept[0].spares, "what the CA does not count is still not counted"


def test_c8_an_unknown_ca_that_stands_in_for_another_is_not_asked_for_a_whole_fleet_at_once() -> None:
    url = "https://ca.corp.example/acme"
    assert [limit.count for limit in limits_of(url, stands_in=True)] == [300]
    assert limits_of(url, {Key.ACCOUNT: None}, stands_in=True) == (), "unless an operator says so"


def test_an_account_orders_three_hundred_in_three_hours_and_the_next_when_the_first_is_three_hours_old() -> (
    None
):
    account = budget()
    for n in range(300):
        order = Order((f"n{n}.example",))
        assert account.answer(order, NOW + n * timedelta(seconds=1)) == Allowed()
        account.ordered(order, NOW + n * timedelta(seconds=1))
    wait = account.answer(Order(("more.example",)), NOW + HOUR)
    assert isinstance(wait, Wait)
    assert wait.until == NOW + 3 * HOUR
    assert "300 new orders per account in 3 h" in wait.sentence
    assert account.answer(Order(("more.example",)), wait.until) == Allowed()


def test_fifty_names_of_one_registered_domain_a_week_and_those_of_another_are_free() -> None:
    account = budget()
    for n in range(50):
        account.ordered(Order((f"n{n}.example.co.uk",)), NOW)
    wait = account.answer(Order(("a.other.example", "more.example.co.uk")), NOW + DAY)
    assert isinstance(wait, Wait)
    assert (wait.until, key_of(wait)) == (NOW + 7 * DAY, Key.REGISTERED_DOMAIN)
    assert "example.co.uk has had 50" in wait.sentence
    assert account.answer(Order(("other.co.uk",)), NOW + DAY) == Allowed()


def test_the_same_set_in_another_order_is_the_same_set() -> None:
    account = budget()
    for _ in range(5):
        account.ordered(Order(("a.example", "b.example"), OrderKind.SAME_NAMES), NOW)
    wait = account.answer(Order(("b.example", "a.example"), OrderKind.SAME_NAMES), NOW)
    assert isinstance(wait, Wait)
    assert key_of(wait) is Key.EXACT_SET


def test_an_order_that_came_to_nothing_is_an_order_and_no_certificate() -> None:
    account = budget()
    order = Order(("www.example.com",))
    for n in range(300):
        account.ordered(order, NOW + n * timedelta(seconds=1))
        account.not_issued(order, NOW + n * timedelta(seconds=1))
    wait = account.answer(order, NOW + HOUR)
    assert isinstance(wait, Wait)
    assert key_of(wait) is Key.ACCOUNT
    assert account.answer(order, wait.until + HOUR) == Allowed()


def test_a_renewal_of_the_same_names_does_not_count_for_account_and_registered_domain() -> None:
    account = budget()
    for n in range(400):
        order = Order((f"n{n}.example.com",), OrderKind.SAME_NAMES)
        assert account.answer(order, NOW) == Allowed()
        account.ordered(order, NOW)
    assert account.answer(Order(("new.example.com",)), NOW) == Allowed()


def test_a_renewal_that_names_what_it_replaces_counts_for_nothing() -> None:
    account = budget()
    order = Order(("www.example.com",), OrderKind.REPLACES)
    for _ in range(400):
        account.ordered(order, NOW)
    assert account.answer(order, NOW) == Allowed()


def test_c5_a_name_that_cannot_be_proved_is_not_asked_for_more_often_because_it_is_a_renewal() -> None:
    account = budget()
    order = Order(("www.example.com",), OrderKind.REPLACES)
    for _ in range(5):
        account.not_proved("www.example.com", NOW)
    assert isinstance(account.answer(order, NOW), Wait)
    assert account.answer(order, NOW + HOUR) == Allowed()


LETS_ENCRYPT_SAYS = {
    "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-11-22": Key.ACCOUNT,
    'too many certificates (50) already issued for "example.com" in the last 168h0m0s': Key.REGISTERED_DOMAIN,
    "too many certificates (5) already issued for this exact set of identifiers in the last": Key.EXACT_SET,
    'too many failed authorizations (5) for "example.com" in the last 1h0m0s': Key.FAILED_AUTHORISATION,
    "Service busy; retry later.": None,
}


@pytest.mark.parametrize(("said", "key"), LETS_ENCRYPT_SAYS.items())
def test_c1_the_limit_that_a_ca_names_is_known_by_its_words(said: str, key: Key | None) -> None:
    assert limit_named(said) is key


def test_c1_a_limit_that_the_ca_has_named_sleeps_until_its_time_and_the_others_do_not() -> None:
    account = budget()
    account.sent_away(Order(("www.example.com",)), NOW + 2 * HOUR, Key.REGISTERED_DOMAIN)
    for urgent in (False, True):
        wait = account.answer(Order(("api.example.com",)), NOW + HOUR, urgent=urgent)
        assert isinstance(wait, Wait)
        assert wait.until == NOW + 2 * HOUR
        assert wait.sentence == "example.com, of which the CA takes no more until 2026-11-22 14:00:00 UTC"
    assert account.answer(Order(("www.example.net",)), NOW + HOUR) == Allowed()
    assert account.answer(Order(("www.example.com",), OrderKind.REPLACES), NOW + HOUR) == Allowed()
    assert account.answer(Order(("api.example.com",)), NOW + 2 * HOUR) == Allowed()


def test_c1_a_limit_of_the_account_holds_all_its_orders_back_that_the_ca_counts() -> None:
    account = budget()
    account.sent_away(Order(("www.example.com",)), NOW + HOUR, Key.ACCOUNT)
    assert isinstance(account.answer(Order(("b.example",)), NOW, urgent=True), Wait)
    assert account.answer(Order(("c.example",), OrderKind.SAME_NAMES), NOW) == Allowed()
    account.sent_away(Order(("d.example",), OrderKind.REPLACES), NOW + 2 * HOUR, Key.ACCOUNT)
    assert isinstance(account.answer(Order(("e.example",), OrderKind.REPLACES), NOW), Wait), (
        "not spared after all"
    )


def test_c1_of_a_limit_that_the_ca_did_not_name_what_cannot_wait_is_tried() -> None:
    account = budget(directory="https://ca.corp.example/acme")
    account.sent_away(Order(("www.example.com",)), NOW + HOUR, None)
    assert isinstance(account.answer(Order(("b.example",)), NOW), Wait)
    assert account.answer(Order(("b.example",)), NOW, urgent=True) == Allowed()


def test_c1_whose_limit_it_was_is_not_guessed_of_a_certificate_for_several_domains() -> None:
    account = budget()
    account.sent_away(Order(("a.example", "b.test")), NOW + HOUR, Key.REGISTERED_DOMAIN)
    assert account.answer(Order(("www.a.example",)), NOW) == Allowed()


def test_five_failed_proofs_of_one_name_within_an_hour_stop_all_orders_with_that_name() -> None:
    account = budget()
    for n in range(5):
        account.not_proved("*.a.example", NOW + n * timedelta(minutes=10))
    wait = account.answer(Order(("a.example", "b.example")), NOW + timedelta(minutes=50))
    assert isinstance(wait, Wait)
    assert wait.until == NOW + HOUR
    assert account.answer(Order(("b.example",)), NOW + timedelta(minutes=50)) == Allowed()


def test_a_fifth_of_each_limit_is_kept_for_what_cannot_wait() -> None:
    account = budget(0.2)
    for n in range(40):
        account.ordered(Order((f"n{n}.example.com",)), NOW)
    wait = account.answer(Order(("more.example.com",)), NOW)
    assert isinstance(wait, Wait)
    assert "10 are kept for emergencies" in wait.sentence
    assert account.answer(Order(("more.example.com",)), NOW, urgent=True) == Allowed()


@given(st.integers(1, 1000), st.floats(0, 1))
def test_the_reserve_never_takes_all(count: int, reserve: float) -> None:
    limit = Limit("x", Key.ACCOUNT, count, DAY)
    assert 1 <= ordinary(limit, reserve) <= count


orders = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(0, 3), st.booleans()), min_size=1, max_size=80
)


@given(orders)
def test_who_asks_first_and_comes_back_when_told_never_orders_more_than_the_ca_allows(
    wishes: list[tuple[int, int, bool]],
) -> None:
    limits = (
        Limit("orders", Key.ACCOUNT, 9, HOUR),
        Limit("domain", Key.REGISTERED_DOMAIN, 4, 2 * HOUR),
    )
    account = Budget("main", limits)
    made: list[tuple[datetime, str]] = []
    for second, domain, urgent in sorted(wishes):
        now, order = NOW + timedelta(seconds=second), Order((f"x.d{domain}.example",))
        answer = account.answer(order, now, urgent=urgent)
        if isinstance(answer, Wait):
            assert answer.until > now
            assert answer.limit in limits
            continue
        account.ordered(order, now)
        made.append((now, order.names[0]))
        assert sum(at > now - HOUR for at, _ in made) <= 9
        assert sum(at > now - 2 * HOUR and name == order.names[0] for at, name in made) <= 4


@given(orders)
def test_what_is_told_to_wait_is_allowed_at_the_time_that_it_was_told(
    wishes: list[tuple[int, int, bool]],
) -> None:
    account = Budget("main", (Limit("orders", Key.ACCOUNT, 9, HOUR),))
    for second, domain, urgent in sorted(wishes):
        now, order = NOW + timedelta(seconds=second), Order((f"x.d{domain}.example",))
        answer = account.answer(order, now, urgent=urgent)
        if isinstance(answer, Wait):
            later = Budget("main", account.limits, ledger=account.ledger)
            assert later.answer(order, answer.until, urgent=urgent) == Allowed()
            return
        account.ordered(order, now)


def test_every_published_limit_has_a_name_of_its_own() -> None:
    for limits in PUBLISHED.values():
        assert len({limit.name for limit in limits}) == len(limits)


def test_an_order_is_what_the_names_before_make_it() -> None:
    assert kind_of(("a", "b"), ("b", "a"), replaces=False) is OrderKind.SAME_NAMES
    assert kind_of(("a", "b"), ("a",), replaces=False) is OrderKind.NEW
    assert kind_of(("a",), None, replaces=False) is OrderKind.NEW
    assert kind_of(("a", "b"), ("a",), replaces=True) is OrderKind.REPLACES
