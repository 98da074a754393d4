# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of this program by their names."""

import sys
from typing import Any


def loaded(name: str) -> Any:
    """A module by its whole name; `importlib` would cost a host more than most modules do."""
    __import__(name)
    return sys.modules[name]
