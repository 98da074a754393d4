"""What the tests of the scan share."""

from __future__ import annotations

import pytest

from tests.authority import Authority


@pytest.fixture(scope="session")
def corpus_authority() -> Authority:
    """Signs the certificates of the corpus."""
    return Authority()
