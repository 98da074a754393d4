"""Secrets at rest: unreadable without the key, unusable anywhere else, never changed unnoticed."""

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from notafter.custody import kek, keys
from notafter.custody.custodian import Custodian, Place
from notafter.custody.kek import Kek, KekSource
from notafter.domain.certificate import KeyType
from notafter.domain.errors import CustodyError, SealBroken, WrongKey
from notafter.domain.x509 import csr_public_key
from notafter.lifecycle.unlock import unlock
from notafter.store.database import Database

HOME = Place("version", 7, "sealed_key")
SECRET = b"canary-key-material"


@pytest.fixture
def custodian() -> Custodian:
    return Custodian(Kek(bytes(range(32))))


def test_a_secret_opens_where_it_was_sealed(custodian: Custodian) -> None:
    assert custodian.open(custodian.seal(SECRET, HOME), HOME) == SECRET


def test_the_same_secret_never_looks_the_same_and_never_shows(custodian: Custodian) -> None:
    first, second = custodian.seal(SECRET, HOME), custodian.seal(SECRET, HOME)
    assert first != second
    for form in (SECRET.decode(), base64.b64encode(SECRET).decode(), SECRET.hex()):
        assert form not in first


@pytest.mark.parametrize(
    "elsewhere",
    [Place("request", 7, "sealed_key"), Place("version", 8, "sealed_key"), Place("version", 7, "pem")],
)
def test_a_secret_moved_elsewhere_does_not_open(custodian: Custodian, elsewhere: Place) -> None:
    with pytest.raises(SealBroken):
        custodian.open(custodian.seal(SECRET, HOME), elsewhere)


def test_each_changed_character_is_noticed(custodian: Custodian) -> None:
    sealed = custodian.seal(SECRET, HOME)
    for index, character in enumerate(sealed):
        changed = sealed[:index] + ("A" if character != "A" else "B") + sealed[index + 1 :]
        try:
            opened = custodian.open(changed, HOME)
        except CustodyError:
            continue
        assert opened == SECRET, "only unused bits of the last base64 digit may differ"
        assert sealed[index + 1 : index + 2] in {"", ".", "="}


def test_another_key_opens_nothing(custodian: Custodian) -> None:
    with pytest.raises(WrongKey):
        Custodian(Kek(bytes(32))).open(custodian.seal(SECRET, HOME), HOME)


def test_a_key_never_shows_in_a_repr() -> None:
    assert "material" not in repr(Kek(bytes(32)))
    assert "AAAA" not in repr(KekSource(Path("kek"), base64.b64encode(bytes(32)).decode()))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'db'}")
    made.migrate()
    return made


def test_the_first_start_makes_a_key_that_only_we_can_read(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "custody" / "kek"
    first = unlock(database, KekSource(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert unlock(database, KekSource(path)).key_id == first.key_id
    database.close()


@pytest.mark.parametrize("fault", ["missing", "another", "open to others", "no base64", "too short"])
def test_without_the_right_key_the_start_is_refused_and_nothing_written(
    tmp_path: Path,
    database: Database,
    fault: str,
) -> None:
    path = tmp_path / "kek"
    unlock(database, KekSource(path))
    database.close()
    before = (tmp_path / "db").read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "another":
        path.unlink()
        kek.make(path)
    elif fault == "open to others":
        path.chmod(0o644)
    else:
        path.write_text("!!" if fault == "no base64" else "AAAA")
    with pytest.raises(WrongKey, match=r"kek"):
        unlock(database, KekSource(path))
    database.close()
    assert (tmp_path / "db").read_bytes() == before
    assert fault != "missing" or not path.exists()


def test_the_key_may_come_from_the_environment_instead(tmp_path: Path, database: Database) -> None:
    source = KekSource(tmp_path / "unused", base64.b64encode(os.urandom(32)).decode())
    unlock(database, source)
    unlock(database, source)
    assert not (tmp_path / "unused").exists()
    database.close()


@pytest.mark.parametrize("key_type", KeyType)
def test_a_request_is_for_all_names_and_the_key_it_came_with(key_type: KeyType) -> None:
    key = keys.make_key(key_type)
    names = ("*.shop.example", "shop.example")
    request = keys.make_request(key, names)
    parsed = x509.load_pem_x509_csr(request.encode())
    extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert tuple(extension.value.get_values_for_type(x509.DNSName)) == names
    assert parsed.is_signature_valid
    assert csr_public_key(request) == keys.public_der(keys.private_pem(key))


def test_a_name_too_long_for_a_common_name_is_a_subject_alternative_name_only() -> None:
    name = "a" * 60 + ".example.org"
    request = keys.make_request(keys.make_key(KeyType.EC_256), (name,))
    assert not list(x509.load_pem_x509_csr(request.encode()).subject)


def test_the_thumbprint_is_the_hash_of_the_key_as_rfc_7638_writes_it() -> None:
    account = keys.account_pem()
    key: Any = load_pem_private_key(account, None)
    numbers = key.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32)).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    written = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    expected = base64.urlsafe_b64encode(hashlib.sha256(written.encode()).digest()).rstrip(b"=")
    assert keys.thumbprint(account) == expected.decode()
