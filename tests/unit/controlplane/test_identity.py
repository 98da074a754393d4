"""One machine id, and whether it is one machine: a rename keeps it, a copy has it too."""

from dataclasses import replace
from typing import Any

import pytest
from notafter.domain.identity import Kin, Machine, kin

from tests.factories import DAY, NOW

KNOWN = Machine("m" * 32, boot_id="boot-1", booted_at=NOW - 9 * DAY, seen_at=NOW - DAY)
LATER = replace(KNOWN, boot_id="boot-2", booted_at=NOW - DAY / 2, seen_at=NOW)


@pytest.mark.parametrize(
    ("known", "seen", "verdict"),
    [
        ({}, {"boot_id": "boot-1"}, Kin.SAME),
        ({}, {}, Kin.UNDECIDED),
        ({}, {"booted_at": NOW - 2 * DAY}, Kin.CLONE),
        ({"boot_id": None}, {"booted_at": NOW - 2 * DAY}, Kin.UNDECIDED),
        ({}, {"booted_at": None}, Kin.UNDECIDED),
        ({"product_uuid": "u"}, {"product_uuid": "u"}, Kin.SAME),
        ({"product_uuid": "u"}, {"product_uuid": "v"}, Kin.CLONE),
        ({"product_uuid": "u"}, {"product_uuid": "v", "boot_id": "boot-1"}, Kin.CLONE),
        ({"product_uuid": "u"}, {"product_uuid": "u", "booted_at": NOW - 2 * DAY}, Kin.CLONE),
        ({"product_uuid": "u"}, {}, Kin.UNDECIDED),
        ({"mac_addresses": frozenset("ab")}, {"mac_addresses": frozenset("ab")}, Kin.SAME),
        ({"mac_addresses": frozenset("ab")}, {"mac_addresses": frozenset("a")}, Kin.UNDECIDED),
    ],
)
def test_what_two_sights_with_one_machine_id_are(
    known: dict[str, Any], seen: dict[str, Any], verdict: Kin
) -> None:
    one, other = replace(KNOWN, **known), replace(LATER, **seen)
    assert kin(one, other) is verdict
    assert kin(other, one) is verdict
