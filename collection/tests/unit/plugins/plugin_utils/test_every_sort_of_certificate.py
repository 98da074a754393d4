# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every sort of certificate, from a file on a host to what the controller says of it; nothing raises."""

from __future__ import annotations

import datetime
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import scan
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _keystore
from ansible_collections.notafter.tls.plugins.plugin_utils import certificates
from ansible_collections.notafter.tls.tests.unit.plugins import scanning, stores
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import NOW, Issue, Made
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report

DAY = datetime.timedelta(days=1)


class Seen(t.NamedTuple):
    """What the controller says of one file of a host."""

    facts: dict[str, t.Any] | None
    chain: list[str]
    problems: list[str]


@pytest.fixture
def look(report: Report, tmp_path: Path) -> t.Callable[..., Seen]:
    """From the bytes of a file to what is said of it, through both halves of a scan."""

    def look(data: bytes | str, keystore: _keystore.Opening | None = None) -> Seen:
        path = tmp_path / str(len(report.bindings))
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        path.chmod(0o600)
        report.binding("files", str(path), 1, str(path), keystore=keystore, keyless=True)
        answer = scan.answer(report, {"hostname": "h", "addresses": []})
        result = certificates.complete(answer, NOW)
        binding = result["bindings"][-1]
        facts = result["certificates"].get(binding["certificate"])
        chain = certificates.split(result["chains"].get(facts["chain"], "") if facts else "")
        return Seen(facts, chain, [problem["kind"] for problem in binding["problems"]])

    return look


Look = t.Callable[..., Seen]


@pytest.fixture(scope="module")
def line(issue: Issue) -> list[Made]:
    """A leaf and the three above it, the root the last."""
    root = issue(common_name="Root")
    upper = issue(common_name="Upper", by=root)
    lower = issue(common_name="Lower", by=upper)
    return [issue("a.test", by=lower), lower, upper, root]


@pytest.fixture(scope="module")
def issue() -> Issue:
    return scanning.issue


def pem(*made: Made) -> str:
    return "".join(one.pem for one in made)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (1, 1, 2, 2), (0, 1), (3, 1)])
def test_chains_in_any_order_with_duplicates(look: Look, line: list[Made], order: tuple[int, ...]) -> None:
    seen = look(pem(line[0], *(line[number] for number in order)))
    assert seen.facts is not None
    assert seen.facts["names"] == ["a.test"]
    assert seen.chain == [line[number].pem for number in order]
    assert seen.problems == []


def test_a_chain_that_lacks_the_issuer_is_told(look: Look, line: list[Made]) -> None:
    assert look(pem(line[0], line[2], line[3])).problems == ["chain_incomplete"]


def test_what_ended_above_is_told_and_a_root_is_not(look: Look, issue: Issue) -> None:
    root = issue(common_name="Root", begins=-9 * DAY, ends=-DAY)
    lower = issue(common_name="Lower", by=root)
    made = issue("a.test", by=lower)
    assert look(pem(made, lower, root)).problems == []
    ended = issue(common_name="Ended", by=root, begins=-9 * DAY, ends=-DAY)
    below = issue("a.test", by=ended)
    assert look(pem(below, ended, root)).problems == ["expired"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: f"Bag Attributes\n  a: b\n{text}\nthe end\n",
        lambda text: text.replace("-----BEGIN", "junk -----BEGIN"),
        lambda text: text + "\0\0\0",
        lambda text: text.replace("CERTIFICATE-----", "X509 CERTIFICATE-----"),
        lambda text: text.replace("\n", "\n   \t"),
    ],
)
def test_what_editors_make_of_pem(look: Look, line: list[Made], change: t.Callable[[str], str]) -> None:
    seen = look(change(pem(*line)))
    assert seen.problems == []
    assert len(seen.chain) == 3


def test_der_and_bundles_and_keystores(look: Look, line: list[Made], authority: Made) -> None:
    leaf = line[0]
    der = stores.der(leaf.certificate)
    assert look(der).facts is not None
    assert look(der).problems == ["chain_incomplete"]
    for form in ("DER", "PEM"):
        assert look(stores.bundle(leaf, form=form)).chain == [one.pem for one in line[1:]]
    entries = stores.jks(stores.trusted_entry("ca", authority), stores.key_entry("it", leaf))
    for data, opening in (
        (stores.pfx(leaf, "x"), _keystore.Opening("x")),
        (stores.pfx(leaf, None), _keystore.Opening()),
        (entries, _keystore.Opening("changeit")),
        (entries, _keystore.Opening(alias="IT")),
    ):
        seen = look(data, opening)
        assert seen.facts is not None
        assert seen.facts["names"] == ["a.test"]
        assert seen.chain == [one.pem for one in line[1:]]
        assert seen.problems == []
    for form in (der[:-1], stores.bundle(leaf)[:-1], entries, stores.pfx(leaf, "x")):
        assert certificates.describe(form)["error"]


def test_ten_thousand_names(look: Look, issue: Issue) -> None:
    names: list[x509.GeneralName] = [x509.DNSName(f"n{number}.test") for number in range(10000)]
    seen = look(pem(issue(extensions=[x509.SubjectAlternativeName(names)])))
    assert seen.facts is not None
    assert len(seen.facts["names"]) == 10000
    assert seen.problems == []


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (ec.SECP521R1, "ec-521"),
        (ec.SECP256K1, "ec-secp256k1"),
        (ec.BrainpoolP256R1, "ec-brainpoolP256r1"),
        (ec.SECP224R1, "ec-secp224r1"),
    ],
)
def test_odd_curves(look: Look, curve: type[ec.EllipticCurve], expected: str) -> None:
    seen = look(pem(_made(ec.generate_private_key(curve()))))
    assert seen.facts is not None
    assert (seen.facts["key_type"], seen.facts["error"]) == (expected, None)


def _made(key: t.Any = None, subject: x509.Name | None = None, **times: datetime.datetime) -> Made:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = subject if subject is not None else x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(times.get("begins", NOW - DAY)).not_valid_after(
        times.get("ends", NOW + DAY)
    )
    names = x509.SubjectAlternativeName([x509.DNSName("a.test")])
    return Made(builder.add_extension(names, False).sign(key, hashes.SHA256()), key)


@pytest.mark.parametrize("kind", [_ASN1Type.BMPString, _ASN1Type.UniversalString, _ASN1Type.T61String])
def test_names_in_utf_16_and_older_alphabets(look: Look, kind: _ASN1Type) -> None:
    text = "Grüße" if kind is not _ASN1Type.T61String else "Hello"
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, text, kind)
    seen = look(pem(_made(subject=x509.Name([attribute]))))
    assert seen.facts is not None
    assert seen.facts["subject"] == f"CN={text}" or seen.facts["error"]
    assert seen.facts["names"] == ["a.test"]


def test_no_subject_and_the_end_of_time(look: Look) -> None:
    last = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)  # noqa: UP017
    seen = look(pem(_made(ends=last)))
    assert seen.facts is not None
    assert (seen.facts["subject"], seen.facts["not_after"]) == ("", "9999-12-31T23:59:59Z")
    assert seen.problems == []


def test_a_time_that_is_none_is_kept_with_its_error(look: Look) -> None:
    der = stores.der(_made(ends=datetime.datetime(2026, 12, 31, tzinfo=datetime.timezone.utc)).certificate)  # noqa: UP017
    seen = look(der.replace(b"261231000000Z", b"269931000000Z"))
    assert seen.facts is not None
    assert seen.facts["error"]
    assert "malformed" in seen.problems


def test_a_negative_serial_number(look: Look) -> None:
    der = bytearray(stores.der(_made().certificate))
    # SEQUENCE, SEQUENCE, [0] version, INTEGER: its first byte of content
    der[der.index(b"\xa0\x03\x02\x01\x02\x02") + 7] = 0x8F
    seen = look(bytes(der))
    assert seen.facts is not None
    assert str(seen.facts["serial"]).startswith("-") or seen.facts["error"]


@pytest.mark.parametrize("at", range(0, 60, 4))
def test_lengths_in_der_that_are_broken(look: Look, line: list[Made], at: int) -> None:
    for length in (0x00, 0x7F, 0x80, 0x84, 0xFF):
        der = bytearray(stores.der(line[0].certificate))
        der[at + 1] = length
        text = certificates.Parsed(bytes(der))
        assert text.error or text.fingerprint
        seen = look(bytes(der))
        assert seen.problems != [] or seen.facts is not None
