# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TXT records that acme.sh has set and not taken away: noted, and removed by the next try.

acme.sh takes its own away at its end. Killed before that, or refused by the provider, it knows nothing
of them the next time. They are removed one by one, by name and value, with acme.sh's own hook: what
else stands at that name is somebody else's.
"""

import hashlib
import os
import re
from typing import Any, List, Tuple

from . import commands, state

_ADDING = re.compile(rb"Adding TXT value: ([A-Za-z0-9_-]{1,100}) for domain: ([A-Za-z0-9._-]{1,253})")
_REMOVED = re.compile(
    rb"Removing txt: ([A-Za-z0-9_-]{1,100}) for domain: ([A-Za-z0-9._-]{1,253})"
    rb"(?:(?!Removing txt: |Error removing txt)[\s\S])*?Successfully removed"
)
_PATIENCE = 60.0
_FILE = re.compile(r"^(?P<name>[0-9a-f]{32})-[A-Za-z0-9._-]+\.json$")

# The rest of acme.sh is read, not run: it does nothing when it is called without arguments.
_SCRIPT = """
provider=$1 records=$2
set --
. "$0" >/dev/null 2>&1
_initpath
dns_entries=
for record in $records; do
  name=${record%%,*} value=${record##*,}
  dns_entries="$dns_entries $name,$name,,$provider,$value,$(_findHook "$name" dnsapi "$provider")"
done
_clearupdns
"""

Pair = Tuple[str, str]


def added(said: bytes) -> List[Pair]:
    """Name and value of each record that acme.sh says it sets."""
    return [(name.decode("ascii"), value.decode("ascii")) for value, name in _ADDING.findall(said)]


def left(said: bytes) -> List[Pair]:
    """Those of them that it does not say it has taken away again."""
    removed = [(name.decode("ascii"), value.decode("ascii")) for value, name in _REMOVED.findall(said)]
    return [pair for pair in added(said) if pair not in removed]


def note(attempt: str, provider: str, said: bytes) -> None:
    """Keeps in mind what an attempt has left in the DNS."""
    by_name = {}  # type: Any
    for name, value in left(said):
        by_name.setdefault(name, []).append(value)
    for name, values in by_name.items():
        path = os.path.join(_folder(), "%s-%s.json" % (_key(name), attempt))
        known = (state.read_json(path) or {}).get("values", [])
        about = {"name": name, "values": sorted({*values, *known}), "provider": provider}
        state.write_json(path, about)


def remove_left(acme_sh: str, config: str, provider: str, names: List[str]) -> List[str]:
    """Takes away what earlier tries have left at these names, and returns what could not be, in words.

    The caller holds the locks of the names, so that whoever has set it has ended.
    """
    notes = [(path, found) for path, found in _notes(names) if found.get("provider") == provider]
    records = [(found["name"], value) for _path, found in notes for value in found["values"]]
    if not records:
        return []
    said = _removed(acme_sh, config, provider, records)
    gone = {(name.decode("ascii"), value.decode("ascii")) for value, name in _REMOVED.findall(said)}
    for path, found in notes:
        if all((found["name"], value) in gone for value in found["values"]):
            os.unlink(path)
    return ["%s (%s)" % pair for pair in records if pair not in gone]


def _removed(acme_sh: str, config: str, provider: str, records: List[Pair]) -> bytes:
    environment = commands.environment({"HOME": config, "TMPDIR": config})
    environment["LE_WORKING_DIR"] = os.path.dirname(os.path.realpath(acme_sh))
    environment["LE_CONFIG_HOME"] = config
    pairs = " ".join("%s,%s" % pair for pair in records)
    done = commands.run(["/bin/sh", "-c", _SCRIPT, acme_sh, provider, pairs], _PATIENCE, env=environment)
    return done.stdout + b"\n" + done.stderr


def _folder() -> str:
    return state.directory("txt")


def _key(name: str) -> str:
    return hashlib.sha256(name.lower().encode()).hexdigest()[:32]


def _notes(names: List[str]) -> List[Tuple[str, Any]]:
    """What is noted for these names."""
    keys, found = {_key(name) for name in names}, []
    for entry in sorted(os.listdir(_folder())):
        match = _FILE.match(entry)
        if match and match.group("name") in keys:
            path = os.path.join(_folder(), entry)
            about = state.read_json(path)
            if isinstance(about, dict):
                found.append((path, about))
    return found
