"""What is stored of a password, and how long it takes to look at one."""

import math
import re

import pytest
from argon2 import PasswordHasher
from notafter.custody import passwords
from pytest_mock import MockerFixture


def test_passwords_are_stored_as_rfc_9106_recommends() -> None:
    stored = passwords.hashed("x" * 20)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.matches(stored, "x" * 20)
    assert not passwords.matches(stored, "x" * 19)
    assert not passwords.is_outdated(stored)


def test_a_hash_of_less_effort_is_known_as_outdated() -> None:
    assert passwords.is_outdated(PasswordHasher(time_cost=1, memory_cost=64).hash("x"))


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$v=19$m=65536,t=3,p=4$broken", "$2b$12$" + "a" * 53])
def test_what_is_no_hash_opens_nothing(stored: str) -> None:
    assert not passwords.matches(stored, "")


def test_without_a_hash_as_much_is_computed_and_nothing_opens(mocker: MockerFixture) -> None:
    """S14: an unknown name costs what a wrong password costs."""
    looked_at: list[str] = []
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)

    def verify(stored: str, password: str) -> bool:
        looked_at.append(stored)
        return cheap.verify(stored, password)

    mocker.patch.object(passwords, "_hasher", wraps=cheap).verify.side_effect = verify
    passwords._nobody.cache_clear()
    assert not passwords.matches(None, "x")
    assert not passwords.matches(passwords.hashed("y"), "x")
    unknown, known = (re.findall(r"m=\d+,t=\d+,p=\d+", one) for one in looked_at)
    assert unknown == known
    passwords._nobody.cache_clear()


def test_one_time_passwords_cannot_be_guessed_and_can_be_read_out() -> None:
    made = {passwords.one_time() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"([a-z2-9]{4}-){4}[a-z2-9]{4}", one) for one in made)
    assert not set("01loi") & set("".join(made)), "they are mistaken for each other"
    assert math.log2(len(set("".join(made)) - {"-"}) ** 20) > 95
