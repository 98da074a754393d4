# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of server: one file each, with a class that is derived from `_base.Service`."""

import os
from typing import Any, Iterable, Optional

from ..errors import HostError
from ..loading import loaded


def _modules() -> Iterable[str]:
    """The modules of this package, as files or as they came through the pipe (plugin_utils/carrier)."""
    sent = getattr(globals()["__loader__"], "sent_modules", None)
    if sent is not None:
        return list(sent(__name__))
    return [
        os.path.splitext(name)[0] for name in os.listdir(os.path.dirname(__file__)) if name.endswith(".py")
    ]


#: Every file here without a leading underscore is a kind of server, and there is no other list.
KINDS = tuple(sorted(name for name in _modules() if not name.startswith("_")))


def may_be_here(name: str, machine: Any) -> bool:
    """Whether a look at the machine, before the kind is loaded, shows a process or a file of it."""
    head = getattr(globals()["__loader__"], "heads", {}).get(name)
    return head is None or machine.runs(head["process_names"]) or machine.has(head["traces"])


def get(name: str, machine: Optional[Any] = None) -> Any:
    """The kind of server of that name, looking at this machine (or at the one given)."""
    if name not in KINDS:
        raise HostError(
            "unknown_service", "no kind of server is called %r; known: %s" % (name, ", ".join(KINDS))
        )
    return loaded("%s.%s" % (__package__, name)).SERVICE(machine)
