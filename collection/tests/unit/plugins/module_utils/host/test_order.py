# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing reaches acme.sh, which sources its settings in a shell, that has not passed an allow-list."""

from __future__ import annotations

import shlex
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import acme_sh, order
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import Refused

GOOD: dict[str, t.Any] = {
    "attempt": "req-12",
    "names": ["shop.example.com", "*.shop.example.com"],
    "csr": "-----BEGIN CERTIFICATE REQUEST-----\nMII=\n-----END CERTIFICATE REQUEST-----\n",
    "ca": {"directory": "https://ca.example.com:14000/dir", "email": "ops@example.com"},
    "challenge": {"type": "dns-01", "provider": "dns_knot"},
    "dns_variables": {"KNOT_KEY": 'hmac-sha256:acme c2VjcmV0 $(touch /tmp/x) `id` \\ "x"'},
}
INJECTIONS = [
    "'; touch /tmp/x; '",
    "$(touch /tmp/x)",
    "`touch /tmp/x`",
    "{{ lookup('pipe', 'touch /tmp/x') }}",
    "a\nb",
    "a b",
    "-d",
    "../../etc/passwd",
    "a;b",
    "a|b",
    "",
]


def test_a_good_request_passes() -> None:
    checked = order.checked(GOOD)
    assert checked.names == GOOD["names"]
    assert checked.challenge.webroot == "dns_knot"
    assert checked.challenge_names() == ["shop.example.com"]


@pytest.mark.parametrize("hostile", INJECTIONS)
@pytest.mark.parametrize(
    "put",
    [
        lambda value: {"names": [value]},
        lambda value: {"attempt": value},
        lambda value: {"ca": {"directory": "https://ca.example.com/" + value + " "}},
        lambda value: {"ca": {"directory": value}},
        lambda value: {"ca": {**GOOD["ca"], "email": value or "x"}},
        lambda value: {"profile": value or "x y"},
        lambda value: {"challenge": {"type": "dns-01", "provider": value}},
        lambda value: {"challenge": {"type": "http-01", "mode": "webroot", "webroot": "/srv/" + value + " "}},
        lambda value: {"dns_variables": {value or "1": "x"}},
    ],
)
def test_a_hostile_value_is_refused_in_every_field(
    put: t.Callable[[str], dict[str, t.Any]], hostile: str
) -> None:
    with pytest.raises(Refused):
        order.checked({**GOOD, **put(hostile)})


def test_a_dns_value_with_a_quote_is_refused_and_not_shown() -> None:
    with pytest.raises(Refused) as caught:
        order.checked({**GOOD, "dns_variables": {"KNOT_KEY": "s3cret' ; touch /tmp/x"}})
    assert "KNOT_KEY" in caught.value.message
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    "name", ["PATH", "IFS", "LD_PRELOAD", "ACCOUNT_URL", "Le_ReloadCmd", "HTTPS_INSECURE"]
)
def test_a_dns_variable_cannot_be_one_of_acme_sh_or_the_shell(name: str) -> None:
    with pytest.raises(Refused):
        order.checked({**GOOD, "dns_variables": {name: "x"}})


def test_a_wildcard_needs_dns() -> None:
    with pytest.raises(Refused) as caught:
        order.checked({**GOOD, "challenge": {"type": "http-01", "mode": "stateless"}})
    assert "wildcard" in caught.value.message


def test_a_directory_without_tls_is_refused() -> None:
    with pytest.raises(Refused):
        order.checked({**GOOD, "ca": {"directory": "http://ca.example.com/dir"}})


def test_a_setting_means_to_the_shell_what_was_written() -> None:
    settings = acme_sh._settings(GOOD["dns_variables"]).decode()
    assert shlex.split(settings) == ["KNOT_KEY=" + GOOD["dns_variables"]["KNOT_KEY"]]
