# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which wave of a run each server gets a certificate, and when the later waves are held back.

One server first; what its handshakes show decides about the next ones. A wave is a number of servers
or a share of all that get the certificate, as in Ansible's `serial`; the last one takes all that are left.
"""

from __future__ import annotations

import re
import typing as t

from ansible.errors import AnsibleError

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT: tuple[int | str, ...] = (1, "10%", "100%")
#: The role has a task for each.
MOST = 5

#: The new certificate was put there and did not come to serve: the next server may fare no better. That a
#: server cannot be reached, was not fit before, or is busy says nothing about the certificate.
AGAINST = frozenset({"rolled_back", "broken"})
FOR = frozenset({"deployed", "unchanged", "staged"})

_SHARE = re.compile(r"([1-9][0-9]?|100)%")


def steps(value: t.Any, certificate: str) -> list[int | str]:
    """The waves as a user wrote them; raises AnsibleError with the remedy where they are none."""
    wish = list(DEFAULT) if value is None else value
    if not isinstance(wish, list) or not 0 < len(wish) <= MOST or not all(map(_is_step, wish)):
        raise AnsibleError(
            f"certificate_waves of {certificate} must be a list of 1 to {MOST} numbers of servers or shares"
            f" of them, such as {list(DEFAULT)}; it is {value!r}"
        )
    return wish


def percentage(value: t.Any, certificate: str) -> int:
    """How many of a hundred servers may fail before the later waves are held back."""
    text = str(0 if value is None else value)
    if isinstance(value, bool) or re.fullmatch(r"[0-9]{1,3}", text) is None or int(text) > 100:
        raise AnsibleError(
            f"certificate_max_fail_percentage of {certificate} must be a number from 0 to 100;"
            f" it is {value!r}"
        )
    return int(text)


def number(servers: Sequence[str], server: str, waves: Sequence[int | str]) -> int:
    """The wave in which one of these servers gets the certificate, counted from 1."""
    position, end = servers.index(server), 0
    for wave, step in enumerate(waves[:-1], 1):
        end += _size(step, len(servers))
        if position < end:
            return wave
    return len(waves)


def in_order(servers: Iterable[str], play_hosts: Sequence[str] | None) -> list[str]:
    """The servers that this play has, as it has them: so no batch of `serial` is ahead of an earlier wave."""
    wanted = dict.fromkeys(servers)
    return list(wanted) if play_hosts is None else [host for host in play_hosts if host in wanted]


def stopped(failed: int, succeeded: int, allowed: int) -> bool:
    """Whether so many failures hold back the servers whose turn has not come."""
    return failed * 100 > allowed * (failed + succeeded)


def _is_step(value: t.Any) -> bool:
    if isinstance(value, str):
        return _SHARE.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _size(step: int | str, total: int) -> int:
    if isinstance(step, int):
        return step
    return max(1, total * int(step.rstrip("%")) // 100)
