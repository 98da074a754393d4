# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operation `scan`: what this host is, and every certificate that its servers name.

Request: `services` (names, default all), `timeout` (the seconds it may take, default 60),
`paths` (by name of the service: further places to look at), `handshakes` (whether the host's own
listeners are asked what they show, default true).

The answer is that of `certificate_scan_info` (contracts.md §2) before the controller has
parsed a certificate: `certificates` has the PEM of each leaf by fingerprint, `chains` each
distinct chain once, and a binding names its chain by `chain`. The controller's
`plugin_utils/certificates.complete` makes the contract's form of it.
"""

from typing import Any, Dict, List, Optional, Sequence, Set

from . import facts, services
from .errors import HostError
from .services._base import Service
from .services._machine import Machine
from .services._reading import Exhausted, Reader
from .services._report import Report

SECONDS = 60.0
#: The share of its time that a scan keeps for handshakes, and the most seconds of it.
HANDSHAKES, HANDSHAKES_SECONDS = 0.25, 15.0
#: The part of what is left that one kind may use up before the next has its turn.
SHARE = 0.5


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """Scans this host; what cannot be read or understood is a warning, never an end."""
    timeout = float(request.get("timeout") or SECONDS)
    handshakes = bool(request.get("handshakes", True))
    kept = min(HANDSHAKES_SECONDS, timeout * HANDSHAKES) if handshakes else 0.0
    report = Report(Reader(timeout - kept))
    kinds = _kinds(request)
    about = [_scan(kind, report, 1.0 if kind is kinds[-1] else SHARE) for kind in kinds]
    found = answer(report, dict(facts.gather(), services=[one for one in about if one is not None]))
    if handshakes and found["bindings"]:
        _look(found, {kind.name: kind.process_names for kind in kinds}, kept)
    return found


def configured(seconds: float) -> Report:
    """What the configurations of all servers here name; for who changes files, so nothing of it is sent."""
    report = Report(Reader(seconds))
    kinds = [kind for kind in _kinds({}) if kind.reloads]
    for kind in kinds:
        _scan(kind, report, 1.0 if kind is kinds[-1] else SHARE)
    return report


def _kinds(request: Dict[str, Any]) -> List[Service]:
    """The kinds of server to look for: those asked for that may be here, who takes what is left last."""
    paths = request.get("paths") or {}
    machine = Machine(still=True)
    asked = request.get("services") or services.KINDS
    kinds = [services.get(name, machine) for name in asked if services.may_be_here(name, machine)]
    kinds += [services.get(name, machine) for name in paths if name not in {kind.name for kind in kinds}]
    for kind in kinds:
        kind.paths = tuple(paths.get(kind.name) or ())
    return sorted(kinds, key=lambda kind: bool(kind.last))


def _look(found: Dict[str, Any], process_names: Dict[str, Sequence[str]], seconds: float) -> None:
    """Asks what is served; what was found arrives also where that cannot be done."""
    try:
        from . import served  # noqa: PLC0415 - TLS and threads are loaded where there is something to ask

        served.look(found, process_names, seconds)
    except Exception as error:  # noqa: BLE001 - a limit of this process or a defect must not lose the scan
        message = "what is served was not asked to the end: %s" % _told(error)
        found["warnings"].append({"file": None, "line": None, "message": message})


def _scan(service: Service, report: Report, part: float = 1.0) -> Optional[Dict[str, Any]]:
    """Scans one kind of server; None when it is not on this host."""
    about = {"name": service.name, "version": None, "running": False}
    why = None
    report.cut = None
    try:
        service.name_strangers(report)
        if not service.found():
            return None
        about.update(version=service.version(), running=service.running())
        with report.reader.share(part):
            service.scan(report)
    except Exhausted as error:
        why = "is not complete: %s" % error
    except HostError as error:
        why = "failed: %s" % error.message
    except Exception as error:  # noqa: BLE001 - a defect in one kind must not hide what the others found
        why = "broke off by a defect: %s" % _told(error)
    if why is None and report.cut is not None:
        why = "is not complete: %s" % report.cut
    if why is not None:
        report.warning("the scan of %s %s" % (service.name, why))
        about["incomplete"] = True
    return about


def _told(error: Exception) -> str:
    """A defect of ours with the places where it happened, the innermost last."""
    told = "%s: %s" % (type(error).__name__, error)
    try:
        import traceback  # noqa: PLC0415 - loaded where there is something to tell

        places = traceback.extract_tb(error.__traceback__)[-3:]
    except (OSError, ImportError):  # no more files can be opened
        return told
    return "%s (%s)" % (told, ", ".join("%s:%s" % (place.filename, place.lineno) for place in places))


def answer(report: Report, server: Dict[str, Any]) -> Dict[str, Any]:
    """The answer that a report and the facts of a server make."""
    materials = report.materials
    try:
        _agree_on_kinds(report.bindings)
        for service, listening in report.listening.items():
            own = [one for one in report.bindings if one["service"] == service]
            _name_addresses(own, listening, server["addresses"])
    except Exception as error:  # noqa: BLE001 - a defect must not lose the scan
        report.warning("files and listeners are told as they were found: %s" % _told(error))
    used = {binding["certificate"] for binding in report.bindings}
    warnings = list(report.warnings)
    if report.unsaid:
        warnings.append({"file": None, "line": None, "message": "%d more warnings" % report.unsaid})
    return {
        "server": server,
        "bindings": report.bindings,
        "certificates": {
            fingerprint: {"pem": pem}
            for fingerprint, pem in materials.certificates.items()
            if fingerprint in used
        },
        "chains": materials.chains,
        "warnings": warnings,
    }


def _agree_on_kinds(bindings: List[Dict[str, Any]]) -> None:
    """A file that several servers read has one content: the fullest kind that any of them needs."""
    order = ("key", "leaf", "chain", "fullchain", "combined", "der", "pkcs7", "pkcs12", "jks")
    fullest: Dict[str, str] = {}
    files = [file for binding in bindings for file in binding["files"]]
    for file in files:
        place = file["target"] or file["path"]
        fullest[place] = max(fullest.get(place, "key"), file["kind"], key=order.index)
    for file in files:
        file["kind"] = fullest[file["target"] or file["path"]]


def _name_addresses(bindings: List[Dict[str, Any]], listening: Set[str], addresses: List[str]) -> None:
    """`*:443` is asked on the loopback; where another server has that address, on one of the host's own."""
    for binding in bindings:
        binding["listeners"] = [
            found for found in (_address(one, listening, addresses) for one in binding["listeners"]) if found
        ]


def _address(listener: str, listening: Set[str], addresses: List[str]) -> Optional[str]:
    """A listener as it can be asked on this host; None when every address of it is another server's."""
    host, _colon, port = listener.rpartition(":")
    loopback = {"*": "127.0.0.1", "[::]": "[::1]"}.get(host)
    if loopback is None or "%s:%s" % (loopback, port) not in listening:
        return listener
    own = ("[%s]" % one if ":" in one else one for one in addresses)
    ways = ("%s:%s" % (one, port) for one in own if host == "*" or one.startswith("["))
    return next((way for way in ways if way not in listening), None)
