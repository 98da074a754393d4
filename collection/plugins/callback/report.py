# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback `notafter.tls.report`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report
type: notification
short_description: Sends what a run by hand has found to the control plane
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - Sends the documented results of M(notafter.tls.certificate_scan_info), M(notafter.tls.certificate_deploy)
    and M(notafter.tls.certificate_probe_info) to a control plane when the run is over, so that what it knows
    is what a scan of its own would have told it.
  - No key, token or credential is in these results, and nothing but their documented parts is sent. A run
    never fails because of this callback; its last line says what was sent, or why nothing was.
  - A run that the control plane itself has started is not reported again.
requirements:
  - enabled in the configuration (C(callbacks_enabled = notafter.tls.report))
options:
  url:
    description: Where the control plane is; C(https), or C(http) on the loopback, for a token is sent there.
    type: str
    env:
      - name: NOTAFTER_REPORT_URL
    ini:
      - section: notafter_report
        key: url
  token_file:
    description: A file that only its owner can read, with a token from C(notafter token create).
    type: path
    env:
      - name: NOTAFTER_REPORT_TOKEN_FILE
    ini:
      - section: notafter_report
        key: token_file
  ca_bundle:
    description: PEM of the roots that its HTTPS is checked with; without it those of the system.
    type: path
    env:
      - name: NOTAFTER_REPORT_CA_BUNDLE
    ini:
      - section: notafter_report
        key: ca_bundle
  timeout:
    description: Seconds that all the sending may take.
    type: int
    default: 60
    env:
      - name: NOTAFTER_REPORT_TIMEOUT
    ini:
      - section: notafter_report
        key: timeout
"""

EXAMPLES = r"""
# ansible.cfg
# [defaults]
# callbacks_enabled = notafter.tls.report
# [notafter_report]
# url = https://notafter.example.com
# token_file = ~/.config/notafter/token
"""

import tempfile
import typing as t
import uuid
from pathlib import Path

from ansible.plugins.callback import CallbackBase

from ..plugin_utils import reporting


class CallbackModule(CallbackBase):
    """Keeps the results of our modules while a run goes on, and sends them when it is over."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "notafter.tls.report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._spool: t.IO[str] | None = None
        self._run = uuid.uuid4().hex
        self._playbook: str | None = None
        self._kept = 0
        self._trouble: list[str] = []
        self._of_a_job = reporting.in_a_job()

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        """Notes which playbook it is."""
        self._guarded(self._begin, playbook)

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Finds out whether the control plane has started this run."""
        self._guarded(self._look_for_job, play)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """Keeps a result."""
        self._guarded(self._keep, result, False)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:  # noqa: ARG002
        """Keeps a result that failed: what a deploy rolled back is worth knowing too."""
        self._guarded(self._keep, result, True)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:  # noqa: ARG002
        """Sends what was kept, and says so in one line."""
        self._guarded(self._send)
        for sentence in dict.fromkeys(self._trouble):
            self._display.warning(f"report to the control plane: {sentence}")
        if self._spool is not None:
            self._spool.close()

    def _guarded(self, work: t.Callable[..., None], *arguments: t.Any) -> None:
        """Whatever goes wrong here is told at the end and is nothing to the run."""
        try:
            work(*arguments)
        except reporting.NotReported as error:
            self._trouble.append(str(error))
        except Exception as error:  # noqa: BLE001 - the edge of a run that must not break
            self._trouble.append(f"{type(error).__name__} in the callback; nothing else is wrong")

    def _begin(self, playbook: t.Any) -> None:
        self._playbook = Path(str(getattr(playbook, "_file_name", ""))).name or None

    def _look_for_job(self, play: t.Any) -> None:
        extra = play.get_variable_manager().extra_vars
        self._of_a_job = self._of_a_job or "notafter_job" in extra

    def _keep(self, result: t.Any, failed: bool) -> None:
        if self._of_a_job:
            return
        task = reporting.part(result, "task")
        module = getattr(task, "resolved_action", None) or getattr(task, "action", "")
        if module not in reporting.MODULES:
            return
        host = reporting.part(result, "host").get_name()
        for one in reporting.results(reporting.part(result, "result")):
            if self._spool is None:
                self._spool = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed at the end
            outcome = {"number": self._kept, "host": host, "module": module, "failed": failed}
            self._kept += 1
            self._spool.write(reporting.line({**outcome, "result": reporting.documented(module, one)}))
            self._spool.flush()  # a worker that is forked now must not have a part of it in its memory

    def _send(self) -> None:
        if self._spool is None:
            return
        desk = reporting.Desk(
            self.get_option("url"),
            self.get_option("token_file"),
            self.get_option("ca_bundle"),
            float(self.get_option("timeout")),
        )
        self._spool.seek(0)
        sent = desk.send(self._run, self._playbook, self._spool)
        self._display.display(f"report to the control plane: {sent}")
