"""D6: names that a certificate may have are taken as they are; all others are refused with what is wanted."""

from __future__ import annotations

import re

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import names
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import Refused
from hypothesis import given
from hypothesis import strategies as st

LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])


@pytest.mark.parametrize(
    "name", ["shop.example", "*.shop.example", "xn--bcher-kva.example", LONGEST, "2001:db8::1"]
)
def test_d6_a_name_in_its_one_form_is_taken(name: str) -> None:
    assert names.checked([name]) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "Shop.example",
        "shop.example.",
        "b\u00fccher.example",
        "b" + LONGEST,
        "a" * 64 + ".example",
        "2001:DB8::1",
        "",
    ],
    ids=["case", "trailing dot", "IDN", "254 characters", "64 in a part", "address", "nothing"],
)
def test_d6_another_form_is_refused_and_named(name: str) -> None:
    with pytest.raises(Refused) as refused:
        names.checked(["shop.example", name])
    assert repr(name) in refused.value.message or f"write the address {name}" in refused.value.message


@given(st.text(max_size=300))
def test_d6_whatever_is_taken_is_harmless_to_a_shell_and_to_dns(text: str) -> None:
    try:
        (name,) = names.checked([text])
    except Refused:
        return
    assert re.fullmatch(r"[a-z0-9.:*-]{1,253}", name)
    assert name == text
