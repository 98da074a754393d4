# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run asks of the control plane that started it: credentials and bundles, for its own items."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from ansible.errors import AnsibleError
from ansible.module_utils.urls import open_url

ASK_AGAIN_SECONDS = 60.0
_PAUSE = 0.5


class Job:
    """The control plane's side of a job: where it is, and the token that opens this job's items."""

    def __init__(self, job: dict[str, t.Any]) -> None:
        self._base = f"{str(job['api_url']).rstrip('/')}/api/v1/jobs/{int(job['id'])}"
        try:
            self._token = Path(str(job["token_file"])).read_text(encoding="ascii").strip()
        except OSError as error:
            raise AnsibleError(f"the job's token cannot be read: {error}") from error

    def credentials(self, certificate: str) -> dict[str, t.Any]:
        """The ACME account and the DNS variables of one certificate of this job."""
        return self._get(f"credentials/{quote(certificate, safe='')}")

    def bundle(self, certificate: str, fingerprint: str | None) -> dict[str, t.Any]:
        """One version of a certificate with its key.

        The version may be signed but not yet on record: that is waited for. Nothing is
        deployed that is not on record.
        """
        path = f"bundle/{quote(certificate, safe='')}"
        if fingerprint:
            path += f"?fingerprint={quote(fingerprint, safe='')}"
        deadline = time.monotonic() + ASK_AGAIN_SECONDS
        while True:
            try:
                return self._get(path)
            except NotOnRecord:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)

    def _get(self, path: str) -> dict[str, t.Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        try:
            with open_url(
                f"{self._base}/{path}", headers=headers, timeout=20, follow_redirects="none"
            ) as answer:
                found: dict[str, t.Any] = json.load(answer)
                return found
        except HTTPError as error:
            not_found = 404
            if error.code == not_found:
                raise NotOnRecord(f"the control plane has no {path}") from error
            raise AnsibleError(f"the control plane refused {path}: {error.code} {error.reason}") from error
        except (URLError, OSError) as error:
            raise AnsibleError(f"the control plane cannot be reached for {path}: {error}") from error


class NotOnRecord(AnsibleError):
    """The control plane does not have this (yet)."""
