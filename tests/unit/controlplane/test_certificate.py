"""How names are proved: which challenge can prove what, and what belongs to which."""

from typing import Any

import pytest
from cryptography import x509
from notafter.custody import keys
from notafter.domain.certificate import Challenge, ChallengeType, HttpMode, KeyType
from notafter.domain.errors import InvalidInput, InvalidName
from notafter.domain.names import certificate_names, chain_name

DNS = Challenge(ChallengeType.DNS_01, "dns_x")
STATELESS = Challenge(ChallengeType.HTTP_01, mode=HttpMode.STATELESS)
ALPN = Challenge(ChallengeType.TLS_ALPN_01, port=8443)


@pytest.mark.parametrize(
    ("challenge", "name", "told"),
    [
        (DNS, "*.shop.example", None),
        (DNS, "192.0.2.7", "an address, which dns-01 cannot prove"),
        (STATELESS, "*.shop.example", "a wildcard, which only dns-01 can prove"),
        (STATELESS, "2001:db8::7", None),
        (ALPN, "*.shop.example", "a wildcard, which only dns-01 can prove"),
        (ALPN, "192.0.2.7", None),
    ],
)
def test_a_challenge_proves_what_its_rfc_says(challenge: Challenge, name: str, told: str | None) -> None:
    why_not = challenge.why_not(("shop.example", name))
    assert why_not is None if told is None else told in str(why_not)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"type": ChallengeType.DNS_01}, "needs a DNS provider"),
        ({"type": ChallengeType.HTTP_01}, "one of stateless, webroot, standalone"),
        ({"type": ChallengeType.HTTP_01, "mode": HttpMode.WEBROOT, "webroot": "www"}, "absolute path"),
        ({"type": ChallengeType.HTTP_01, "mode": HttpMode.WEBROOT}, "absolute path"),
        ({"type": ChallengeType.HTTP_01, "mode": HttpMode.WEBROOT, "webroot": "/srv/$x"}, "absolute path"),
        ({"type": ChallengeType.HTTP_01, "mode": HttpMode.WEBROOT, "webroot": "/srv/../x"}, "absolute path"),
        ({"type": ChallengeType.DNS_01, "provider": "dns_x", "alias": "proofs"}, "is no alias"),
        ({"type": ChallengeType.DNS_01, "provider": "dns_x", "alias": "a_.example"}, "is no host name"),
        ({"type": ChallengeType.HTTP_01, "mode": HttpMode.STATELESS, "port": 80}, "has no port"),
        ({"type": ChallengeType.TLS_ALPN_01, "provider": "dns_x"}, "tls-alpn-01 has no provider"),
        ({"type": ChallengeType.TLS_ALPN_01, "mode": HttpMode.STANDALONE}, "has no mode"),
        ({"type": ChallengeType.HTTP_01, "mode": HttpMode.STANDALONE, "alias": "x.example"}, "has no alias"),
        ({"type": ChallengeType.DNS_01, "provider": "dns_x", "alias": "*.x.example"}, "is no alias"),
        ({"type": ChallengeType.DNS_01, "provider": "dns_x", "domain_alias": "X.example."}, "is no alias"),
        (
            {
                "type": ChallengeType.DNS_01,
                "provider": "dns_x",
                "alias": "a.example",
                "domain_alias": "b.example",
            },
            "not both",
        ),
    ],
)
def test_what_a_challenge_lacks_or_cannot_have_is_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        Challenge(**options)


def test_the_plan_has_what_was_given_and_nothing_else() -> None:
    alias = Challenge(ChallengeType.DNS_01, "dns_x", domain_alias="_proof.other.example")
    assert alias.as_plan() == {"type": "dns-01", "provider": "dns_x", "domain_alias": "_proof.other.example"}
    assert ALPN.as_plan() == {"type": "tls-alpn-01", "port": 8443}
    standalone = Challenge(ChallengeType.HTTP_01, mode=HttpMode.STANDALONE)
    assert standalone.as_plan() == {"type": "http-01", "mode": "standalone"}
    assert [one.at_issuer for one in (DNS, STATELESS, ALPN, standalone)] == [False, False, True, True]


def test_addresses_are_names_in_their_canonical_form_and_each_is_one_name() -> None:
    given = ["2001:DB8:0:0:0:0:0:7", " 192.0.2.7", "2001:db8::7", "Shop.Example."]
    assert certificate_names(given) == ("2001:db8::7", "192.0.2.7", "shop.example")


@pytest.mark.parametrize(
    "text", ["fe80::1%eth0", "224.0.0.251", "::", "224.0.0.1", "192.0.2", "1.2.3.4.5", "::g"]
)
def test_what_is_no_address_of_one_host_is_no_name(text: str) -> None:
    with pytest.raises(InvalidName):
        certificate_names([text])


def test_a_request_for_an_address_names_it_as_one_and_never_as_the_common_name() -> None:
    key = keys.make_key(KeyType.EC_256)
    request = x509.load_pem_x509_csr(keys.make_request(key, ("2001:db8::7", "shop.example")).encode())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["2001:db8::7"]
    assert names.get_values_for_type(x509.DNSName) == ["shop.example"]
    assert list(request.subject) == []


@pytest.mark.parametrize("text", ["", "a'; touch /x; '", "a\\", "a\nb", "x" * 129, "Caf\u00e9"])
def test_no_issuers_name_ends_a_text_in_a_shell(text: str) -> None:
    with pytest.raises(InvalidName):
        chain_name(text)
    assert chain_name(" (STAGING) Pretend Pear X1") == "(STAGING) Pretend Pear X1"
