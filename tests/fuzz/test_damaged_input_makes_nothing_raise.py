"""Damaged certificates and configurations in a small number, new ones each time; `make fuzz` has many."""

from __future__ import annotations

import secrets

import pytest

from tests.fuzz import certificates, chamber
from tests.fuzz.__main__ import configurations

SEED = secrets.token_hex(4)


@pytest.mark.parametrize("kind", chamber.kinds())
def test_a_damaged_configuration_is_read_as_far_as_it_goes(kind: str) -> None:
    done = configurations(kind, SEED, 100, patience=300)
    assert done.returncode == 0, f"seed {SEED}:\n{done.stdout}{done.stderr}"
    assert f"{kind}: 100 damaged configurations" in done.stdout


@pytest.mark.parametrize("kind", chamber.kinds())
def test_every_kind_of_server_has_seeds(kind: str) -> None:
    assert any(path.is_file() for path in (chamber.SEEDS / kind).rglob("*"))


def test_a_damaged_certificate_is_kept_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = certificates.fuzz(SEED, range(3000))
    assert wrong == 0, capsys.readouterr().out
