# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With what arguments systemd starts a service, for servers that write a title over theirs."""

import re
import shlex
from typing import Any, Dict, List

from . import _reading

_PROPERTIES = "--property=ExecStart,Environment,EnvironmentFiles"
_LIMIT = 256 * 1024


def arguments(machine: Any, unit: str) -> List[str]:
    """The words of a service's command line, its variables put in; none where systemd does not say."""
    answer = machine.ask(["systemctl", "show", _PROPERTIES, unit], 10.0)
    said = "" if answer is None else _reading.text(answer.stdout)
    environment: Dict[str, str] = {}
    started: List[str] = []
    for line in said.splitlines():
        name, _equals, value = line.partition("=")
        if name == "Environment":
            environment.update(_assignments(words(value)))
    for line in said.splitlines():
        name, _equals, value = line.partition("=")
        if name == "EnvironmentFiles":
            environment.update(_assigned(value.split(" (ignore_errors=", 1)[0]))
    for line in said.splitlines():
        found = re.match(r"ExecStart=\{.*?argv\[\]=(.*?) ; ignore_errors=", line)
        if found and not started:
            started = [part for word in words(found.group(1)) for part in _expanded(word, environment)]
    return started


def words(text: str) -> List[str]:
    """The words of a line that has quotes as a shell has them."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _assigned(path: str) -> Dict[str, str]:
    """The NAME=VALUE lines of a file that systemd reads as an environment."""
    try:
        lines = _reading.text(_reading.Reader().read(path, _LIMIT).data).splitlines()
    except (_reading.Unreadable, _reading.Exhausted):
        return {}
    pairs = (line.strip().partition("=") for line in lines if not line.lstrip().startswith(("#", ";")))
    return {name: " ".join(words(value)) for name, equals, value in pairs if equals}


def _assignments(assigned: List[str]) -> Dict[str, str]:
    return dict(one.split("=", 1) for one in assigned if "=" in one)


def _expanded(word: str, environment: Dict[str, str]) -> List[str]:
    """systemd.service(5): `$NAME` as a word of its own is cut into words, `${NAME}` is not."""
    if re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", word):
        return words(environment.get(word[1:], ""))
    return [re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", lambda one: environment.get(one.group(1), ""), word)]
