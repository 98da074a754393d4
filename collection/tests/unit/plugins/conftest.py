# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for the tests of the scan; what they make is in scanning.py."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _managers, _reading, _report
from ansible_collections.notafter.tls.tests.unit.plugins import scanning

if t.TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def issue() -> scanning.Issue:
    """Makes certificates, self-signed unless an issuer is given."""
    return scanning.issue


@pytest.fixture(scope="session")
def authority() -> scanning.Made:
    """An intermediate certificate whose root is not handed out."""
    root = scanning.issue(common_name="Paper Root")
    made = scanning.issue(common_name="Paper Intermediate", by=root)
    return scanning.Made(made.certificate, made.key)


@pytest.fixture
def machine(tmp_path: Path) -> scanning.FakeMachine:
    """A machine on which nothing runs yet."""
    return scanning.FakeMachine(tmp_path / "machine")


@pytest.fixture
def report() -> _report.Report:
    """An empty report with the usual limits, which looks at nobody's home."""
    reader = _reading.Reader(30.0)
    return _report.Report(reader, _managers.Managers(reader, certbot=(), acme_sh=()))
