# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deploy changes, as `--diff` shows it: certificates in words, and never a key."""

from __future__ import annotations

import typing as t

from .certificates import describe

FACTS = ("subject", "names", "serial", "issuer", "not_before", "not_after", "key_type")


def differences(
    outcome: t.Mapping[str, t.Any], changes: t.Sequence[t.Mapping[str, t.Any]]
) -> list[dict[str, str]]:
    """One difference for each file, and one for what is reloaded and looked at."""
    found = [_file(change) for change in changes]
    after = _service(outcome)
    if after:
        header = f"{outcome['service']} ({outcome['certificate']})"
        found.append({"before_header": header, "after_header": header, "before": "", "after": after})
    return found


def _file(change: t.Mapping[str, t.Any]) -> dict[str, str]:
    header = change["path"] if change["alias"] is None else f"{change['path']}#{change['alias']}"
    return {
        "before_header": header,
        "after_header": header,
        "before": _text(change, change["before"], change["key_of_before"]),
        "after": _text(change, change["after"], change["key_of_after"]),
    }


def _text(change: t.Mapping[str, t.Any], pems: t.Sequence[str] | None, key_of: str | None) -> str:
    """What a file holds; nothing where there is none."""
    if pems is None:
        return ""
    lines = [f"kind: {change['kind']}"]
    if change["target"]:
        lines.append(f"target: {change['target']}")
    lines.append(f"owner: {_standing(change)}")
    if pems and change["kind"] != "chain":
        lines += ["certificate:", *(f"  {line}" for line in _certificate(pems[0]))]
        pems = pems[1:]
    lines += [f"issuer: {describe(pem)['subject']}" for pem in pems]
    if change["with_key"]:
        lines.append(f"private key: that of the certificate {key_of or 'that is not known'}")
    return "\n".join(lines) + "\n"


def _standing(change: t.Mapping[str, t.Any]) -> str:
    """Owner and mode, which a deploy keeps; those of a new file."""
    standing = change["standing"]
    if standing is None:
        return "root:root " + ("0600" if change["with_key"] else "0644")
    return f"{standing['owner']}:{standing['group']} {standing['mode']}"


def _certificate(pem: str) -> list[str]:
    facts = describe(pem)
    if facts["error"]:
        return [f"not readable: {facts['error']}"]
    told = {name: ", ".join(facts[name]) if name == "names" else facts[name] for name in FACTS}
    told["fingerprint_sha256"] = facts["fingerprint"]
    return [f"{name}: {value}" for name, value in told.items()]


def _service(outcome: t.Mapping[str, t.Any]) -> str:
    """What is reloaded, and which places must show the certificate afterwards."""
    lines = [f"reload {name}" for name in outcome["reloads"]]
    if lines:
        places = [(one["listener"], one["name"] or "no name") for one in outcome["endpoints"]]
        lines += [f"look at {listener} for {name}" for listener, name in dict.fromkeys(places)]
    return "".join(f"{line}\n" for line in lines)
