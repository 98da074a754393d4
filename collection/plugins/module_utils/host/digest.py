# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SHA-256 as Python itself has it: hashlib loads OpenSSL first, which costs more than a hundred digests."""

from typing import Any

try:
    from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 and later
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256


def sha256_of(data: bytes) -> str:
    """The digest of bytes as a fingerprint is written."""
    made: Any = sha256(data)
    return str(made.hexdigest())
