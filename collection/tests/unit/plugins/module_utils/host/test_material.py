# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in the files that a server names, and that no private key ever leaves the host."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _keystore_forms,
    _material,
    _reading,
)
from ansible_collections.notafter.tls.tests.unit.plugins import scanning
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Issue, Made


GIVEN = scanning.issue("a.test").pem.encode()


@pytest.fixture
def materials() -> _material.Materials:
    return _material.Materials(_reading.Reader(30.0))


def kinds(place: _material.Place) -> list[str]:
    return [kind for kind, _message in place.problems]


def test_facts_of_a_file_are_those_of_the_file_system(
    materials: _material.Materials, tmp_path: Path, issue: Issue
) -> None:
    certificate, key = issue("a.test").save(tmp_path)
    place = materials.place(str(certificate), str(key), None)
    assert place.problems == []
    first, second = place.files
    assert first["sha256"] == hashlib.sha256(certificate.read_bytes()).hexdigest()
    assert (second["kind"], second["mode"], second["target"]) == ("key", "0600", None)
    assert first["owner"] == second["owner"] != ""


def test_a_link_on_the_way_is_followed_and_told(
    materials: _material.Materials, tmp_path: Path, issue: Issue
) -> None:
    issue("a.test").save(tmp_path / "archive", "one")
    (tmp_path / "live").symlink_to("archive")
    (tmp_path / "shop.crt").symlink_to("live/one.crt")
    place = materials.place(str(tmp_path / "shop.crt"), str(tmp_path / "live/one.key"), None)
    assert [file["target"] for file in place.files] == [
        str(tmp_path / "archive/one.crt"),
        str(tmp_path / "archive/one.key"),
    ]
    assert place.leaf is not None


@pytest.mark.parametrize("chain_file", [False, True])
def test_the_leaf_is_the_first_and_the_rest_is_its_chain(
    materials: _material.Materials, tmp_path: Path, issue: Issue, authority: Made, chain_file: bool
) -> None:
    made = issue("a.test", by=authority)
    certificate, key = made.save(tmp_path)
    (tmp_path / "chain.pem").write_text(authority.pem)
    chain = None
    if chain_file:
        certificate.write_text(made.pem)
        chain = str(tmp_path / "chain.pem")
    place = materials.place(str(certificate), str(key), chain)
    assert place.leaf == made.fingerprint
    assert place.chain is not None
    assert materials.chains[place.chain] == authority.pem
    assert [file["kind"] for file in place.files] == (
        ["leaf", "chain", "key"] if chain_file else ["fullchain", "key"]
    )


def test_a_chain_file_that_begins_with_the_leaf_is_a_full_chain(
    materials: _material.Materials, tmp_path: Path, issue: Issue, authority: Made
) -> None:
    made = issue("a.test", by=authority)
    certificate, key = made.save(tmp_path)
    certificate.write_text(made.pem)
    (tmp_path / "full.pem").write_text(made.fullchain)
    place = materials.place(str(certificate), str(key), str(tmp_path / "full.pem"))
    assert [file["kind"] for file in place.files] == ["leaf", "fullchain", "key"]
    assert materials.chains[str(place.chain)] == authority.pem


def test_a_combined_file_gives_its_certificate_and_keeps_its_key(
    materials: _material.Materials, tmp_path: Path, issue: Issue
) -> None:
    made = issue("a.test")
    file = tmp_path / "all.pem"
    file.write_text(f"subject=a.test\n{made.key_pem}\r\ntext\n{made.pem}trailer")
    file.chmod(0o600)
    place = materials.place(str(file), str(file), None)
    assert (place.files[0]["kind"], place.leaf, place.problems) == ("combined", made.fingerprint, [])
    everything = json.dumps([place.files, materials.certificates, materials.chains])
    assert "PRIVATE" not in everything
    assert materials.certificates == {made.fingerprint: made.pem}


@pytest.mark.parametrize("kind", ["ec-256", "rsa-2048"])
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL", "encrypted"])
def test_a_key_that_calls_itself_a_certificate_does_not_leave(
    materials: _material.Materials, tmp_path: Path, issue: Issue, form: str, kind: str
) -> None:
    made = issue("a.test", key=kind)
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if form == "encrypted":
        form, how = "PKCS8", serialization.BestAvailableEncryption(b"secret")
    der = made.key.private_bytes(serialization.Encoding.DER, getattr(serialization.PrivateFormat, form), how)
    body = base64.encodebytes(der).decode()
    file = tmp_path / "x.pem"
    file.write_text(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
    place = materials.place(str(file), str(file), None)
    assert kinds(place) == ["malformed"]
    assert materials.certificates == {}


def test_a_key_of_another_certificate_is_told(
    materials: _material.Materials, tmp_path: Path, issue: Issue
) -> None:
    certificate, _key = issue("a.test").save(tmp_path, "one")
    for kind in ("ec-256", "rsa-2048"):
        _other, key = issue("b.test", key=kind).save(tmp_path, kind)
        assert materials.place(str(certificate), str(key), None).problems == [
            ("key_mismatch", f"the private key in {key} is not that of {certificate}")
        ]


@pytest.mark.parametrize("kind", ["rsa-1024", "rsa-3072", "ec-384", "ed25519"])
def test_a_key_that_fits_is_no_problem_however_weak_it_is(
    materials: _material.Materials, tmp_path: Path, issue: Issue, kind: str
) -> None:
    certificate, key = issue("a.test", key=kind).save(tmp_path)
    assert materials.place(str(certificate), str(key), None).problems == []


def test_an_encrypted_key_asks_nobody_for_its_phrase(
    materials: _material.Materials, tmp_path: Path, issue: Issue
) -> None:
    made = issue("a.test")
    certificate, key = made.save(tmp_path)
    key.write_text(made.encrypted(b"secret"))
    assert materials.place(str(certificate), str(key), None).problems == [
        ("unresolved", f"the private key in {key} is encrypted: whether it fits is not known")
    ]


def test_a_key_that_everybody_reads_is_told_unless_its_folder_is_closed(tmp_path: Path, issue: Issue) -> None:
    certificate, key = issue("a.test").save(tmp_path / "open")
    key.chmod(0o644)

    def told(mode: int) -> list[tuple[str, str]]:
        (tmp_path / "open").chmod(mode)
        materials = _material.Materials(_reading.Reader(30.0))
        materials._exposed[str(tmp_path.resolve())] = True
        return materials.place(str(certificate), str(key), None).problems

    assert told(0o755) == [
        ("key_readable_by_others", f"everybody on this host can read the private key in {key} (mode 0644)")
    ]
    assert told(0o750) == []
    key.chmod(0o602)
    assert told(0o755)[0][1] == f"everybody on this host can write the private key in {key} (mode 0602)"


def test_what_is_missing_unreadable_or_no_certificate_is_told(
    materials: _material.Materials, tmp_path: Path, issue: Issue
) -> None:
    made = issue("a.test")
    certificate, key = made.save(tmp_path)
    for name, content in (
        ("empty", ""),
        ("text", "hello"),
        ("cut", made.pem[:200]),
        ("bad", made.pem[:80] + "!" + made.pem[81:]),
    ):
        (tmp_path / name).write_text(content)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(made.pem.encode() + b"\n" * (1 << 20))
    expected = {
        "gone": "missing",
        "empty": "malformed",
        "text": "malformed",
        "cut": "malformed",
        "bad": "malformed",
        "pipe": "malformed",
        "large": "malformed",
    }
    assert {
        name: kinds(materials.place(str(tmp_path / name), str(key), None))[0] for name in expected
    } == expected
    assert kinds(materials.place(str(certificate), str(tmp_path / "gone"), None)) == ["missing"]
    assert kinds(materials.place(str(certificate), str(certificate), None)) == ["malformed"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_of_others_is_unreadable(materials: _material.Materials, tmp_path: Path, issue: Issue) -> None:
    certificate, key = issue("a.test").save(tmp_path)
    key.chmod(0)
    assert kinds(materials.place(str(certificate), str(key), None)) == ["unreadable"]


def test_a_trusted_certificate_has_the_fingerprint_of_the_certificate_in_it(
    materials: _material.Materials, tmp_path: Path, issue: Issue
) -> None:
    made = issue("a.test")
    der = made.certificate.public_bytes(serialization.Encoding.DER) + b"\x30\x00"
    body = base64.encodebytes(der).decode()
    file = tmp_path / "x.pem"
    file.write_text(
        f"-----BEGIN TRUSTED CERTIFICATE-----\n{body}-----END TRUSTED CERTIFICATE-----\n{made.key_pem}"
    )
    file.chmod(0o600)
    assert materials.place(str(file), str(file), None).leaf == made.fingerprint


def test_a_file_is_read_once_however_many_servers_name_it(tmp_path: Path, issue: Issue) -> None:
    certificate, key = issue("a.test").save(tmp_path)
    materials = _material.Materials(_reading.Reader(30.0, files=2))
    places = [materials.place(str(certificate), str(key), None) for _turn in range(100)]
    assert len({json.dumps(place.files) for place in places}) == 1


def test_a_megabyte_of_beginnings_takes_linear_time(tmp_path: Path) -> None:
    start = time.process_time()
    for text in (
        "-----BEGIN CERTIFICATE-----" * 38000,
        "-----BEGIN A-----\n-----END B-----\n" * 30000,
        "-----BEGIN CERTIFICATE-----" + " " * 1000000,
        "-----BEGIN " * 90000,
    ):
        (tmp_path / "x").write_text(text)
        _material.Materials(_reading.Reader(30.0)).look(str(tmp_path / "x"))
    assert time.process_time() - start < 5


@settings(max_examples=300)
@given(st.data())
def test_no_damage_to_a_file_makes_the_look_raise(data: st.DataObject) -> None:
    made = bytearray(GIVEN * 2)
    for _turn in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(made) - 1))
        made[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    certificates = _keystore_forms.contents(bytes(made)).certificates
    for der in certificates:
        assert base64.b64decode("".join(_material._pem(der).splitlines()[1:-1])) == der


def test_a_key_that_becomes_a_pipe_after_it_was_read_hangs_nothing(
    materials: _material.Materials, tmp_path: Path, issue: Issue
) -> None:
    certificate, _own = issue("a.test").save(tmp_path)
    _other, key = issue("b.test", key="rsa-2048").save(tmp_path, "other")
    assert materials.look(str(key)).has_key
    key.unlink()
    os.mkfifo(key)
    asked: list[list[tuple[str, str]]] = []
    thread = threading.Thread(
        target=lambda: asked.append(materials.fit(str(certificate), str(key))), daemon=True
    )
    thread.start()
    thread.join(10.0)
    assert asked, "it waits for a writer that never comes"
    assert [kind for kind, _message in asked[0]] == ["malformed"]


def test_an_old_python_judges_a_key_alike(
    materials: _material.Materials, tmp_path: Path, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    certificate, _own = issue("a.test").save(tmp_path)
    _other, key = issue("b.test").save(tmp_path, "other")
    assert kinds(materials.place(str(certificate), str(key), None)) == ["key_mismatch"]
