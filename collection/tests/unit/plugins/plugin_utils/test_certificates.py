# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller makes of certificates: nothing in one makes it raise, and no problem is missed."""

from __future__ import annotations

import base64
import copy
import datetime
import random
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import certificates, parsed
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import NOW, Issue, Made
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import issue as made_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given, settings
from hypothesis import strategies as st

DAY = datetime.timedelta(days=1)
GIVEN = made_for("a.test", common_name="a.test")


def kinds(problems: list[dict[str, str]]) -> list[str]:
    return [problem["kind"] for problem in problems]


class TestDescribe:
    """What one certificate says."""

    def test_every_fact_of_a_plain_certificate(self, issue: Issue, authority: Made) -> None:
        made = issue("a.test", "*.B.test", by=authority)
        assert certificates.describe(made.pem) == {
            "names": ["a.test", "*.b.test"],
            "subject": "",
            "issuer": "CN=Paper Intermediate",
            "serial": f"{made.certificate.serial_number:x}".zfill(
                len(f"{made.certificate.serial_number:x}") + len(f"{made.certificate.serial_number:x}") % 2
            ),
            "not_before": "2026-11-21T12:00:00Z",
            "not_after": "2027-02-20T12:00:00Z",
            "key_type": "ec-256",
            "fingerprint": made.fingerprint,
            "error": None,
        }

    @pytest.mark.parametrize("kind", ["ec-256", "ec-384", "rsa-2048", "rsa-1024", "ed25519"])
    def test_the_kind_of_key(self, issue: Issue, kind: str) -> None:
        assert certificates.describe(issue(key=kind).pem)["key_type"] == kind

    def test_a_curve_without_a_name_of_ours_keeps_its_own(self, issue: Issue) -> None:
        assert certificates.describe(issue(key="ec-192").pem)["key_type"] == "ec-secp192r1"

    @pytest.mark.parametrize("change", ["crlf", "bom", "text around", "one line", "der", "bytes"])
    def test_the_forms_a_file_comes_in(self, change: str) -> None:
        body = "".join(GIVEN.pem.splitlines()[1:-1])
        forms: dict[str, t.Any] = {
            "crlf": GIVEN.pem.replace("\n", "\r\n"),
            "bom": "\ufeff" + GIVEN.pem,
            "text around": f"subject=x\n{GIVEN.pem}\n{GIVEN.key_pem}",
            "one line": f"-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----",
            "der": GIVEN.certificate.public_bytes(serialization.Encoding.DER),
            "bytes": GIVEN.pem.encode(),
        }
        found = certificates.describe(forms[change])
        assert (found["error"], found["fingerprint"]) == (None, GIVEN.fingerprint)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            "\udcff\0",
            GIVEN.key_pem,
        ],
    )
    def test_what_is_no_certificate_has_an_error_and_nothing_else(self, text: str) -> None:
        found = certificates.describe(text)
        assert found.pop("error")
        assert found.pop("names") == []
        assert set(found.values()) == {None}

    def test_the_text_of_a_stranger_steers_no_terminal(self, issue: Issue) -> None:
        name = "<img src=x onerror=1>=HYPERLINK()\x1b[2J{{7*7}}\n\u202e\u200b\x00é"
        found = certificates.describe(issue("a.test", common_name=name).pem)
        assert found["subject"].isprintable()
        assert "{{7*7}}" in found["subject"]
        assert "\\x1b" in found["subject"]
        assert "\\u202e" in found["subject"]
        assert "é" in found["subject"]

    @pytest.mark.parametrize(
        "name", ["../../etc/passwd", "a';id;'", "a b", "-x.test", "{{ 7 }}", "x" * 300, "", "a..test", "*"]
    )
    def test_a_name_that_is_no_host_name_is_no_name(self, issue: Issue, name: str) -> None:
        made = issue("good.test", name)
        assert certificates.describe(made.pem)["names"] == ["good.test"]
        assert parsed.Parsed(made.pem).odd_names != []

    def test_ten_thousand_names_and_addresses(self) -> None:
        names: list[x509.GeneralName] = [x509.DNSName(f"n{number}.test") for number in range(10000)]
        import ipaddress  # noqa: PLC0415

        names.append(x509.IPAddress(ipaddress.ip_address("2001:db8::1")))
        made = made_for(extensions=[x509.SubjectAlternativeName(names)])
        found = certificates.describe(made.pem)
        assert len(found["names"]) == 10001
        assert found["names"][-1] == "2001:db8::1"

    def test_the_ends_of_time(self, issue: Issue) -> None:
        made = issue("a.test", begins=datetime.datetime(1950, 1, 1, tzinfo=datetime.timezone.utc) - NOW)  # noqa: UP017
        assert certificates.describe(made.pem)["not_before"] == "1950-01-01T00:00:00Z"
        last = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)  # noqa: UP017
        assert (
            certificates.describe(issue("a.test", ends=last - NOW).pem)["not_after"] == "9999-12-31T23:59:59Z"
        )

    def test_a_negative_serial_number_is_told(self) -> None:
        der = bytearray(GIVEN.certificate.public_bytes(serialization.Encoding.DER))
        serial = GIVEN.certificate.serial_number.to_bytes(21, "big").lstrip(b"\0")
        der[der.index(serial)] |= 0x80
        found = certificates.describe(bytes(der))
        assert found["serial"].startswith("-") or found["error"]


@settings(max_examples=500)
@given(st.data())
def test_no_damage_to_a_certificate_makes_the_parser_raise(data: st.DataObject) -> None:
    der = bytearray(GIVEN.certificate.public_bytes(serialization.Encoding.DER))
    for _turn in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    _survives(bytes(der))


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    certificates.describe(text)
    certificates.check_bundle(text, text, [text], NOW, csr_pem=text)
    assert certificates.split(text) == [] or "CERTIFICATE" in text


def test_thousands_of_damaged_certificates() -> None:
    chance = random.Random(20261122)  # noqa: S311 - damage, no secret
    whole = GIVEN.certificate.public_bytes(serialization.Encoding.DER)
    for _turn in range(3000):
        der = bytearray(whole)
        for _turn in range(chance.randint(1, 5)):
            der[chance.randrange(len(der))] = chance.randrange(256)
        _survives(bytes(der))


def _survives(der: bytes) -> None:
    body = base64.b64encode(der).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    found = certificates.describe(pem)
    assert found["fingerprint"]
    for key in ("subject", "issuer", "serial", "not_before", "not_after", "key_type"):
        assert found[key] is not None or found["error"], key
        assert found[key] is None or found[key].isprintable()
    certificates.check_bundle(pem, pem, ["a.test"], NOW, csr_pem=GIVEN.csr())
    answer = scanned([(found["fingerprint"], pem, "")], names=["a.test"])
    certificates.complete(answer, NOW)


@pytest.mark.parametrize(
    ("stated", "name", "expected"),
    [
        (["a.test"], "a.test", True),
        (["a.test"], "A.Test.", True),
        (["a.test"], "b.a.test", False),
        (["*.a.test"], "b.a.test", True),
        (["*.a.test"], "a.test", False),
        (["*.a.test"], "c.b.a.test", False),
        (["*.a.test"], "*.a.test", True),
        (["b.a.test"], "*.a.test", False),
        (["*.test"], "*.a.test", False),
        (["*.b*.test"], "x.b1.test", False),
        (["xn--bcher-kva.test"], "bücher.test", True),
        (["10.0.0.1"], "10.0.0.1", True),
        (["*.0.0.1"], "10.0.0.1", False),
        (["*.test"], "test", False),
        ([], "a.test", False),
        (["a.test"], "", False),
    ],
)
def test_a_wildcard_covers_one_label(stated: list[str], name: str, expected: bool) -> None:
    assert certificates.covers(stated, name) is expected


class TestBundle:
    """What speaks against serving a bundle."""

    def check(
        self, made: Made, *names: str, chain: str | None = None, csr_pem: str | None = None
    ) -> list[str]:
        """The kinds of problem of a bundle, judged now."""
        above = made.chain if chain is None else chain
        return kinds(certificates.check_bundle(made.pem, above, names, NOW, csr_pem=csr_pem))

    def test_what_was_asked_for_is_fine(self, issue: Issue, authority: Made) -> None:
        made = issue("a.test", "*.b.test", by=authority)
        assert self.check(made, "a.test", "*.b.test", csr_pem=made.csr()) == []

    def test_another_key_is_told(self, issue: Issue, authority: Made) -> None:
        made = issue("a.test", by=authority)
        assert self.check(made, "a.test", csr_pem=issue("a.test").csr()) == ["key_mismatch"]
        assert self.check(made, "a.test", csr_pem=issue("a.test", key="rsa-2048").csr()) == ["key_mismatch"]
        assert self.check(made, "a.test", csr_pem="nonsense") == ["malformed"]

    def test_names_that_are_missing_are_told_by_name(self, issue: Issue, authority: Made) -> None:
        (problem,) = certificates.check_bundle(issue("a.test").pem, "", [f"n{n}.test" for n in range(9)], NOW)
        assert problem == {
            "kind": "names_not_covered",
            "message": "the certificate is not for n0.test, n1.test, n2.test, n3.test, n4.test and 4 more",
        }
        assert self.check(issue("a.test", by=authority), "A.TEST") == []

    def test_time_is_the_controller_s(self, issue: Issue, authority: Made) -> None:
        assert self.check(issue("a.test", by=authority, begins=DAY)) == ["not_yet_valid"]
        assert self.check(issue("a.test", by=authority, begins=-3 * DAY, ends=-DAY)) == ["expired"]

    def test_the_chain_must_lead_up_from_the_certificate(self, issue: Issue) -> None:
        root = issue(common_name="Root")
        middle = issue(common_name="Middle", by=root)
        made = issue("a.test", by=middle)
        assert self.check(made, chain=middle.pem) == []
        assert self.check(made, chain=middle.pem + root.pem) == []
        assert self.check(made, chain="") == []
        assert self.check(made, chain=root.pem + middle.pem) == ["chain_incomplete"]
        assert self.check(made, chain=middle.pem + middle.pem) == ["chain_incomplete"]
        assert self.check(made, chain=issue(common_name="Middle").pem) == ["chain_incomplete"]

    def test_an_issuer_that_has_ended_is_told_unless_it_is_a_root(self, issue: Issue) -> None:
        root = issue(common_name="Root", begins=-9 * DAY, ends=-DAY)
        middle = issue(common_name="Middle", by=root, begins=-9 * DAY, ends=-DAY)
        assert self.check(issue("a.test", by=middle), chain=middle.pem) == ["expired"]
        assert self.check(issue("a.test", by=root), chain=root.pem) == []

    def test_what_cannot_be_read_is_told(self) -> None:
        assert kinds(certificates.check_bundle("nonsense", None, ["a.test"], NOW)) == ["malformed"]


def scanned(
    given: list[tuple[str, str, str]],
    *,
    service: str = "nginx",
    names: list[str] | None = None,
    listeners: list[str] | None = None,
) -> dict[str, t.Any]:
    """A host's answer with a binding for each (fingerprint, certificate, chain)."""
    return {
        "server": {"hostname": "web1"},
        "bindings": [
            {
                "service": service,
                "config_file": "/etc/x",
                "line": number,
                "names": list(names or []),
                "listeners": ["*:443"] if listeners is None else list(listeners),
                "files": [],
                "certificate": fingerprint,
                "chain": f"chain-{fingerprint}" if chain else None,
                "managed_by": None,
                "problems": [],
            }
            for number, (fingerprint, _pem, chain) in enumerate(given)
        ],
        "certificates": {fingerprint: {"pem": pem} for fingerprint, pem, _chain in given},
        "chains": {f"chain-{fingerprint}": chain for fingerprint, _pem, chain in given if chain},
        "warnings": [],
    }


def of(
    *made: Made,
    chain: bool = True,
    service: str = "nginx",
    names: list[str] | None = None,
    own_names: bool = False,
) -> dict[str, t.Any]:
    """A host's answer with these certificates."""
    given = [(one.fingerprint, one.pem, one.chain if chain else "") for one in made]
    answer = scanned(given, service=service, names=names)
    for binding in answer["bindings"]:
        binding["own_names"] = own_names
    return answer


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just(GIVEN.fingerprint),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


class TestComplete:
    """A host's answer becomes the contract's, with what only the controller can judge."""

    def problems(self, made: Made, chain: bool = True, names: list[str] | None = None) -> list[str]:
        """The problems of the one binding."""
        return kinds(
            certificates.complete(of(made, chain=chain, names=names), NOW)["bindings"][0]["problems"]
        )

    def test_the_shape_is_the_contract_s(self, issue: Issue, authority: Made) -> None:
        made = issue("a.test", by=authority)
        result = certificates.complete(of(made, names=["a.test"]), NOW)
        assert set(result) == {"server", "bindings", "certificates", "chains", "warnings"}
        (binding,) = result["bindings"]
        assert set(binding) == {
            "service",
            "config_file",
            "line",
            "names",
            "listeners",
            "files",
            "certificate",
            "managed_by",
            "problems",
            "served",
        }
        assert binding["problems"] == []
        assert set(result["certificates"][made.fingerprint]) == {
            "pem",
            "chain",
            "names",
            "subject",
            "issuer",
            "serial",
            "not_before",
            "not_after",
            "key_type",
            "error",
        }
        assert result["certificates"][made.fingerprint]["pem"] == made.pem
        assert result["chains"][result["certificates"][made.fingerprint]["chain"]] == authority.pem

    def test_a_good_one_has_no_problem(self, issue: Issue, authority: Made) -> None:
        made = issue("a.test", "*.b.test", by=authority)
        assert self.problems(made, names=["a.test", "x.b.test", "*.b.test", "~^c"]) == []
        assert self.problems(issue("a.test"), names=["a.test"]) == []

    def test_each_problem_is_told(self, issue: Issue, authority: Made) -> None:
        assert self.problems(issue("a.test", by=authority), names=["b.test"]) == ["names_not_covered"]
        assert self.problems(issue("a.test", by=authority, begins=-9 * DAY, ends=-DAY)) == ["expired"]
        assert self.problems(issue("a.test", by=authority, begins=DAY)) == ["not_yet_valid"]
        assert self.problems(issue("a.test", by=authority), chain=False) == ["chain_incomplete"]
        assert self.problems(issue("a.test", key="rsa-1024")) == ["weak_key"]
        assert self.problems(issue("a.test", key="ec-192")) == ["weak_key"]
        assert self.problems(issue("a.test", "../../x")) == ["malformed"]

    def test_problems_of_the_host_come_first(self, issue: Issue) -> None:
        answer = of(issue("a.test"), names=["b.test"])
        answer["bindings"][0]["problems"] = [{"kind": "key_mismatch", "message": "x"}]
        assert kinds(certificates.complete(answer, NOW)["bindings"][0]["problems"]) == [
            "key_mismatch",
            "names_not_covered",
        ]

    def test_a_certificate_with_and_without_its_chain_is_judged_at_each_place(
        self, issue: Issue, authority: Made
    ) -> None:
        made = issue("a.test", by=authority)
        answer = of(made, made)
        answer["bindings"][0]["chain"] = None
        result = certificates.complete(answer, NOW)
        assert [kinds(one["problems"]) for one in result["bindings"]] == [["chain_incomplete"], []]
        assert result["chains"][result["certificates"][made.fingerprint]["chain"]] == authority.pem

    def test_a_chain_of_somebody_else_is_none(self, issue: Issue, authority: Made) -> None:
        made = issue("a.test", by=authority)
        answer = of(made)
        answer["chains"] = {key: issue(common_name="Paper Intermediate").pem for key in answer["chains"]}
        assert kinds(certificates.complete(answer, NOW)["bindings"][0]["problems"]) == ["chain_incomplete"]

    def test_haproxy_s_names_are_those_of_the_certificate(self, issue: Issue) -> None:
        made = issue("a.test", "*.b.test", common_name="cn.test")
        assert certificates.complete(of(made, service="haproxy", own_names=True), NOW)["bindings"][0][
            "names"
        ] == [
            "a.test",
            "*.b.test",
        ]
        assert certificates.complete(of(made, service="nginx"), NOW)["bindings"][0]["names"] == []
        bare = issue(common_name="CN.test")
        assert certificates.complete(of(bare, service="haproxy", own_names=True), NOW)["bindings"][0][
            "names"
        ] == ["cn.test"]
        kept = certificates.complete(of(made, service="haproxy", own_names=True, names=["c.b.test"]), NOW)
        assert kept["bindings"][0]["names"] == ["c.b.test"]

    def test_a_name_of_haproxy_belongs_to_the_first_of_each_kind_of_key(self, issue: Issue) -> None:
        first, rsa = issue("a.test", "b.test"), issue("a.test", key="rsa-2048")
        second, third = issue("b.test", "c.test"), issue("a.test")
        result = certificates.complete(of(first, rsa, second, third, service="haproxy", own_names=True), NOW)
        assert [(one["names"], one["listeners"]) for one in result["bindings"]] == [
            (["a.test", "b.test"], ["*:443"]),
            (["a.test"], ["*:443"]),
            (["c.test"], ["*:443"]),
            ([], []),
        ]
        assert [one["message"] for one in result["warnings"]] == [
            "no handshake shows this certificate: others have its names"
        ]

    def test_a_host_s_word_is_not_taken_for_a_certificate(self, issue: Issue) -> None:
        made = issue("a.test")
        answer = of(made)
        answer["certificates"][made.fingerprint]["pem"] = issue("evil.test").pem
        result = certificates.complete(answer, NOW)
        assert result["certificates"] == {}
        assert result["bindings"][0]["certificate"] is None

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            {"bindings": None, "certificates": [], "chains": 1, "warnings": "x", "server": None},
            {
                "bindings": [1, {}],
                "certificates": {"x": 1, "y": {"pem": 5}},
                "chains": {"z": 3},
                "warnings": [None],
            },
        ],
    )
    def test_an_answer_of_another_shape_stops_nothing(self, answer: dict[str, t.Any]) -> None:
        keys = {"server", "bindings", "certificates", "chains", "warnings"}
        assert set(certificates.complete(answer, NOW)) == keys

    @given(_JSON, _JSON, _JSON)
    def test_no_answer_of_a_hostile_host_makes_it_raise(self, one: t.Any, other: t.Any, key: t.Any) -> None:
        answer = of(GIVEN, service="haproxy", own_names=True)
        fields = ("names", "listeners", "files", "certificate", "chain", "problems", "line", "service")
        answer["bindings"] += [dict.fromkeys(fields, one), {**answer["bindings"][0], str(key): other}]
        answer["certificates"][str(key)] = {"pem": one}
        answer["chains"][str(key)] = other
        answer["warnings"] = [one, {"message": other, "line": key}]
        result = certificates.complete(answer, NOW)
        assert set(result["certificates"]) <= {GIVEN.fingerprint}
        for binding in result["bindings"]:
            assert all(isinstance(name, str) for name in binding["names"] + binding["listeners"])

    def test_the_answer_that_was_given_is_left_alone(self, issue: Issue) -> None:
        answer = of(issue("a.test"), service="haproxy", own_names=True)
        before = copy.deepcopy(answer)
        certificates.complete(answer, NOW)
        assert answer == before


def test_a_chain_is_sent_once_however_many_certificates_are_below_it(issue: Issue, authority: Made) -> None:
    answer = of(*(issue(f"{number}.test", by=authority) for number in range(20)))
    answer["chains"] = {"above": authority.pem}
    for binding in answer["bindings"]:
        binding["chain"] = "above"
    result = certificates.complete(answer, NOW)
    assert result["chains"] == {"above": authority.pem}
    assert {one["chain"] for one in result["certificates"].values()} == {"above"}


def test_the_fingerprint_is_that_of_the_der() -> None:
    assert (
        certificates.describe(GIVEN.pem)["fingerprint"]
        == GIVEN.certificate.fingerprint(hashes.SHA256()).hex()
    )
