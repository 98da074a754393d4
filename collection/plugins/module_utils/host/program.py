# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes one request, runs the operation that it names, and prints one answer."""

import json
import os
import signal
import sys
from typing import Any, Dict

from .errors import HostError
from .loading import loaded

OPERATIONS = (
    "acme_account",
    "answer",
    "bundle",
    "deploy",
    "keep",
    "probe",
    "request",
    "revoke",
    "scan",
    "sign",
)
BEGIN = "-----BEGIN NOTAFTER ANSWER-----"
END = "-----END NOTAFTER ANSWER-----"


def answer(request: Dict[str, Any]) -> Dict[str, Any]:
    """The answer to a request; whatever went wrong is part of it."""
    operation = request.get("op")
    if operation not in OPERATIONS:
        return {"ok": False, "kind": "unknown_operation", "message": "no operation %r" % (operation,)}
    try:
        result = dict(loaded("%s.%s" % (__package__, operation)).run(request))
    except HostError as error:
        return {"ok": False, "kind": error.kind, "message": error.message}
    except OSError as error:
        return {"ok": False, "kind": "os_error", "message": str(error)}
    except Exception:  # noqa: BLE001 - the edge: a defect of ours must reach the controller as text
        import traceback  # noqa: PLC0415 - loaded where there is something to tell

        place = traceback.format_exc(limit=-3).strip().splitlines()
        return {"ok": False, "kind": "internal", "message": " | ".join(line.strip() for line in place)}
    result["ok"] = True
    return result


def main(request: Dict[str, Any]) -> None:
    """Runs a request to its end, whatever becomes of the connection that brought it."""
    os.umask(0o077)
    for hangup in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(hangup, signal.SIG_IGN)
    text = json.dumps(answer(request))
    try:
        sys.stdout.write("%s\n%s\n%s\n" % (BEGIN, text, END))
        sys.stdout.flush()
    except OSError:
        os._exit(0)  # nobody listens any more; what was done is in the journal
