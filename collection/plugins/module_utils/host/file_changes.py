# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment changes in its files, for a person to read: certificates, owner and mode, never a key."""

import os
from typing import Any, Dict, List, Optional

from . import content, pem, transaction
from .placement import Placement
from .services import _material


def of(placement: Placement) -> List[Dict[str, Any]]:
    """Each file that changes: what it is, and the certificates that are in it now and that will be."""
    changed = {change.path for change in placement.changes()}
    entries = [one for one in placement.deployment["files"] if os.path.realpath(one["path"]) in changed]
    return [_change(placement, entry) for entry in entries]


def _change(placement: Placement, entry: Dict[str, Any]) -> Dict[str, Any]:
    real = os.path.realpath(entry["path"])
    old = transaction.read(real)
    opening = placement.openings.get(real)
    return {
        "path": entry["path"],
        "target": real if real != entry["path"] else None,
        "kind": entry["kind"],
        "alias": None if opening is None else opening.alias,
        "with_key": entry["kind"] in content.WITH_KEY,
        "standing": None if old is None else _material.ownership(os.stat(real)),
        "before": _certificates(placement, entry, old),
        "after": _certificates(placement, entry, placement.contents[real]) or [],
        "key_of_before": placement.disk_fingerprint,
        "key_of_after": (placement.bundle or {})["fingerprint_sha256"],
    }


def _certificates(placement: Placement, entry: Dict[str, Any], data: Optional[bytes]) -> Optional[List[str]]:
    return None if data is None else [pem.block(one) for one in placement.shown(entry, data)]
