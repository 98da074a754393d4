# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of a large scan that wait on the controller until they are asked for, or until the run ends.

They lie below the folder that Ansible makes for each run and removes with it. Nothing in them is
secret; still nobody else can read them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import typing as t
import zlib
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleError

_TOKEN = re.compile(r"[0-9a-f]{32}-[0-9]{1,4}")
_SPARE = 256 * 1024 * 1024  # what is left free on the disk, for it may be the machine's memory

Page = dict[str, t.Any]


class NoSuchPage(AnsibleError):
    """A page was asked for that is not there, or no more."""


def stamped(pages: list[Page]) -> list[Page]:
    """The pages of one scan, each with its number in it; a scan of one page needs none."""
    if len(pages) < 2:
        return pages
    scan = secrets.token_hex(16)
    return [
        {**page, "page": {"scan": scan, "number": number, "of": len(pages)}}
        for number, page in enumerate(pages, 1)
    ]


def keep(host: str, pages: list[Page]) -> list[str]:
    """Puts pages by for a host, instead of those of an earlier scan; returns the token of each.

    If the disk has no room for a page, that one and those after it have none.
    """
    forget(host)
    tokens: list[str] = []
    with contextlib.suppress(OSError):
        for page in pages:
            tokens.append(_write(_folder(host), page))  # noqa: PERF401 - those before an error count
    return tokens


def waiting(host: str) -> list[str]:
    """The tokens of the pages that wait for a host, in their order."""
    try:
        names = os.listdir(_folder(host))  # noqa: PTH208 - most often there is no such folder
    except OSError:
        return []
    return sorted(filter(_TOKEN.fullmatch, names), key=lambda name: int(name.rpartition("-")[2]))


def take(host: str, token: str) -> Page:
    """A page, which waits no longer."""
    if not _TOKEN.fullmatch(token):
        raise NoSuchPage(f"{token!r} is no page's token")
    path = _folder(host) / token
    try:
        page: Page = json.loads(zlib.decompress(path.read_bytes()))
        path.unlink()
    except (OSError, ValueError, zlib.error):
        told = f"the page {token} of {host} is not here: a page waits while the run lasts, and is given once"
        raise NoSuchPage(told) from None
    return page


def forget(host: str) -> None:
    """Removes the pages that wait for a host."""
    for token in waiting(host):
        (_folder(host) / token).unlink(missing_ok=True)


def _folder(host: str) -> Path:
    name = hashlib.sha256(host.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Path(constants.DEFAULT_LOCAL_TMP) / "notafter-scans" / name


def _write(folder: Path, page: Page) -> str:
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    content = zlib.compress(json.dumps(page).encode(), 1)
    disk = shutil.disk_usage(folder)
    if disk.free - len(content) < min(_SPARE, disk.total // 2):
        raise OSError("there is no room for it")
    token = f"{secrets.token_hex(16)}-{page['page']['number']}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(folder / token, flags, 0o600), "wb") as file:
        file.write(content)
    return token
