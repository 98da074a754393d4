"""Names that may stand in a certificate, and names that may stand in an inventory."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.errors import InvalidName
from notafter.domain.names import certificate_names, covers, dns_name, inventory_name, numbered


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("Shop.Example", "shop.example"),
        ("shop.example.", "shop.example"),
        ("*.apps.example", "*.apps.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_name_is_stored_in_one_form(given_name: str, stored: str) -> None:
    assert dns_name(given_name) == stored


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        ".",
        "*",
        "*.com",
        "a..b",
        "-a.example",
        "a-.example",
        "a_b.example",
        "a*.example",
        "*.*.example",
        "a" * 64 + ".example",
        ".".join(["abcdefg"] * 40),
        "10.0.0.1",
        "shop.example:443",
        "shop example",
        "'; touch /tmp/x; '",
        "{{ lookup('pipe','touch /tmp/x') }}",
        "a\u202eb.example",
        "\ud800.example",
    ],
)
def test_what_is_no_host_name_is_refused_and_named(nonsense: str) -> None:
    with pytest.raises(InvalidName, match="no host name"):
        dns_name(nonsense)


@given(st.text(max_size=300))
def test_whatever_is_taken_as_a_host_name_is_plain_and_stays_the_same(text: str) -> None:
    try:
        name = dns_name(text)
    except InvalidName:
        return
    assert set(name) <= set(string.ascii_lowercase + string.digits + "-.*")
    assert dns_name(name) == name


def test_names_of_a_certificate_are_kept_once_and_in_order() -> None:
    assert certificate_names(["b.example", "A.example", "a.example."]) == ("b.example", "a.example")
    with pytest.raises(InvalidName):
        certificate_names([])


@pytest.mark.parametrize("name", ["web1", "web-1.example", "_x", "10.0.0.1"])
def test_plain_hosts_are_inventory_names(name: str) -> None:
    assert inventory_name(name) == name


@pytest.mark.parametrize("name", ["", "-v", "*", "web[1:3]", "a:b", "!web1", "{{x}}", "a b", "web1\n", "ü"])
def test_patterns_options_and_templates_are_no_inventory_names(name: str) -> None:
    with pytest.raises(InvalidName):
        inventory_name(name)


def test_a_wildcard_covers_one_label() -> None:
    assert covers("*.example", "a.example")
    assert not covers("*.example", "example")
    assert not covers("*.example", "a.b.example")


@pytest.mark.parametrize("key", ["crt-", "crt-x", "17", "dep-17", "crt-²", "crt-" + "9" * 40, "crt--1"])
def test_only_numbered_keys_have_a_number(key: str) -> None:
    assert numbered("crt", key) is None
    assert numbered("crt", "crt-17") == 17
