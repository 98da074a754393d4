# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hides an answer with a key in it from whoever prints what a host has said: Ansible does from -vvv on.

The controller sends a secret of its own for this one answer, on the standard input, which nobody
prints; the answer comes back mixed with a stream that only this secret begins (SHAKE256).
"""

import base64
import hashlib
import json
from typing import Any, Dict


def put_on(answer: Dict[str, Any], secret: str) -> Dict[str, str]:
    """An answer as it can be printed."""
    return {"veiled": base64.b64encode(_mixed(json.dumps(answer).encode("utf-8"), secret)).decode("ascii")}


def take_off(veiled: Dict[str, Any], secret: str) -> Dict[str, Any]:
    """The answer that was put under the veil."""
    text = _mixed(base64.b64decode(veiled["veiled"]), secret).decode("utf-8")
    return dict(json.loads(text))


def _mixed(text: bytes, secret: str) -> bytes:
    stream = hashlib.shake_256(secret.encode("ascii")).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream))
