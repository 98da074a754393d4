# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing reaches acme.sh, which sources its settings in a shell, that has not passed an allow-list."""

from __future__ import annotations

import re
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
    assert checked.challenge_names() == ["_acme-challenge.shop.example.com"]


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
        lambda value: {"challenge": {"type": "dns-01", "provider": "dns_knot", "alias": value or "x"}},
        lambda value: {"challenge": {"type": "dns-01", "provider": "dns_knot", "domain_alias": value or "x"}},
        lambda value: {"challenge": {"type": "tls-alpn-01", "port": value or "x"}},
        lambda value: {"challenge": {"type": "http-01", "mode": "standalone", "port": value or "x"}},
        lambda value: {"ca": {**GOOD["ca"], "eab_key_id": value + "'"}},
        lambda value: {
            "ca": {**GOOD["ca"], "eab_key_id": "kid-1"},
            "account": {"eab_hmac_key": value + "'"},
        },
        lambda value: {"preferred_chain": value + "'"},
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


@pytest.mark.parametrize("name", ["ACMEDNS_BASE_URL", "ACMEPROXY_ENDPOINT", "CF_Token", "KNOT_KEY"])
def test_what_a_provider_of_acme_sh_asks_for_can_be_given(name: str) -> None:
    assert order.checked({**GOOD, "dns_variables": {name: "x"}}).dns_variables == {name: "x"}


def test_a_wildcard_needs_dns() -> None:
    with pytest.raises(Refused) as caught:
        order.checked({**GOOD, "challenge": {"type": "http-01", "mode": "stateless"}})
    assert "wildcard" in caught.value.message


STANDALONE = {"type": "http-01", "mode": "standalone"}


@pytest.mark.parametrize(
    ("wish", "webroot", "port"),
    [
        (STANDALONE, "no", 80),
        ({**STANDALONE, "port": 8080}, "no", 8080),
        ({"type": "tls-alpn-01"}, "alpn", 443),
        ({"type": "tls-alpn-01", "port": "8443"}, "alpn", 8443),
    ],
)
def test_where_acme_sh_answers_itself_it_has_a_port(wish: dict[str, t.Any], webroot: str, port: int) -> None:
    challenge = order.checked({**GOOD, "names": ["a.test"], "challenge": wish}).challenge
    assert (challenge.webroot, challenge.port) == (webroot, port)


@pytest.mark.parametrize("port", [0, 65536, -1, True, "80; id", 1.5, []])
def test_what_is_no_port_is_refused(port: object) -> None:
    with pytest.raises(Refused, match="no port"):
        order.checked({**GOOD, "names": ["a.test"], "challenge": {**STANDALONE, "port": port}})


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ({"alias": "proofs.example.net"}, "_acme-challenge.proofs.example.net"),
        ({"domain_alias": "shop.proofs.example.net"}, "shop.proofs.example.net"),
    ],
)
def test_an_alias_says_where_the_txt_records_are(wish: dict[str, str], name: str) -> None:
    found = order.checked({**GOOD, "challenge": {"type": "dns-01", "provider": "dns_knot", **wish}})
    assert found.challenge_names() == [name]


def test_two_kinds_of_alias_at_once_are_refused() -> None:
    both = {"type": "dns-01", "provider": "dns_knot", "alias": "a.test", "domain_alias": "b.test"}
    with pytest.raises(Refused, match="not both"):
        order.checked({**GOOD, "challenge": both})


@pytest.mark.parametrize("name", ["192.0.2.7", "2001:db8::1", "::1"])
def test_an_address_is_a_name_and_cannot_be_proved_by_dns(name: str) -> None:
    assert order.checked({**GOOD, "names": [name], "challenge": STANDALONE}).names == [name]
    with pytest.raises(Refused, match="RFC 8738"):
        order.checked({**GOOD, "names": [name]})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("2001:DB8::1", "write the address 2001:DB8::1 as 2001:db8::1"),
        ("2001:db8:0:0::1", "as 2001:db8::1"),
        ("192.0.2.300", "no valid IP address"),
        ("1.2.3", "no valid"),
        ("192.0.2.1/24", "no valid"),
        ("192.0.2.1\n", "no valid"),
        ("*.192.0.2.1", "no valid"),
        ("a.test\n", "no valid"),
        ("fe80::1%eth0", "no valid"),
        (f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 10}.test", "no valid"),
    ],
)
def test_an_address_is_written_in_one_way(name: str, told: str) -> None:
    with pytest.raises(Refused, match=re.escape(told)):
        order.checked({**GOOD, "names": [name], "challenge": STANDALONE})


@pytest.mark.parametrize("sleep", ["soon", [1], -1, 3601, True, "1e3"])
def test_what_is_no_number_of_seconds_is_refused(sleep: object) -> None:
    challenge = {**GOOD["challenge"], "dns_sleep": sleep}
    with pytest.raises(Refused, match="dns_sleep is a number of seconds from 0 to 3600"):
        order.checked({**GOOD, "challenge": challenge})


@pytest.mark.parametrize("replaced", ["shop.pem", "-----BEGIN CERTIFICATE-----\nMII=\n", ["x"]])
def test_what_replaces_no_certificate_is_refused(replaced: object) -> None:
    with pytest.raises(Refused, match="is no PEM certificate"):
        order.checked({**GOOD, "replaces": replaced})


def test_an_hmac_key_that_is_none_is_refused_and_not_shown() -> None:
    ca = {**GOOD["ca"], "eab_key_id": "kid-1"}
    with pytest.raises(Refused) as caught:
        order.checked({**GOOD, "ca": ca, "account": {"eab_hmac_key": "s3cret s3cret"}})
    assert "kid-1" in caught.value.message
    assert "s3cret" not in caught.value.message


def test_a_directory_without_tls_is_refused() -> None:
    with pytest.raises(Refused):
        order.checked({**GOOD, "ca": {"directory": "http://ca.example.com/dir"}})


def test_a_setting_means_to_the_shell_what_was_written() -> None:
    settings = acme_sh._settings(GOOD["dns_variables"]).decode()
    assert shlex.split(settings) == ["KNOT_KEY=" + GOOD["dns_variables"]["KNOT_KEY"]]
