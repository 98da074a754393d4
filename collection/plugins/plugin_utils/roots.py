# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with roots on the controller: what a CA's HTTPS is checked with, and what it signs leads to."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleError


def text_of(path: str | None) -> str | None:
    """What such a file says; the words between its certificates, in any language, are left out."""
    if not path:
        return None
    try:
        return Path(path).expanduser().read_bytes().decode("ascii", "ignore")
    except OSError as error:
        raise AnsibleError(f"the roots in {path} cannot be read: {error.strerror or error}") from error
