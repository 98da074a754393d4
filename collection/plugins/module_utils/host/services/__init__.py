# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of server: one file each, with a class that is derived from `_base.Service`."""

import importlib
from typing import Any, Optional

from ..errors import HostError

KINDS = ("apache", "haproxy", "nginx")


def get(name: str, machine: Optional[Any] = None) -> Any:
    """The kind of server of that name, looking at this machine (or at the one given)."""
    if name not in KINDS:
        raise HostError(
            "unknown_service", "no kind of server is called %r; known: %s" % (name, ", ".join(KINDS))
        )
    module = importlib.import_module("." + name, __package__)
    return module.SERVICE(machine)
