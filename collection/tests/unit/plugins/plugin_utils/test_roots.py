# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with roots come from everywhere, and say in every language what is in them."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible_collections.notafter.tls.plugins.plugin_utils import roots

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.notafter.tls.tests.unit.plugins import scanning


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_words_beyond_ascii_beside_a_root_do_no_harm(
    tmp_path: Path, issue: scanning.Issue, encoding: str
) -> None:
    pem, file = issue(common_name="Root").pem, tmp_path / "roots.pem"
    file.write_bytes(f"# Autorit\u00e9 de N\u00eemes\n{pem}".encode(encoding))
    told = roots.text_of(str(file))
    assert told is not None
    assert told.isascii()
    assert told.endswith(pem)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert roots.text_of(None) is None
    with pytest.raises(AnsibleError, match=r"the roots in .*/none\.pem cannot be read: No such file"):
        roots.text_of(str(tmp_path / "none.pem"))
