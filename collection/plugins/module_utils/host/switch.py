# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several files become new, or old again, by one rename.

rename(2) is atomic for one file. Whoever starts a server between two of them finds a certificate
and a key that do not belong together, and the server does not come up; after a power loss nobody
is there to help it. So for a moment each file is a symbolic link, with the content that it had, and
all links lead through one more:

    /etc/ssl/shop.pem          -> private/.notafter-T/now/0
    /etc/ssl/private/shop.key  -> .notafter-T/now/1
    .notafter-T/now            -> old, then new
    .notafter-T/{old,new}/0    -> ../../../.shop.pem.notafter-T.old, ../../../.shop.pem.notafter-T

To exchange `now` is to exchange them all. Then each link gives way to a regular file of the same
content. At no instant is one file new and another old. All links are relative, so that they lead to
the same places in a chroot; nothing in the folder is read but names, so it has its parent's rights.
"""

import errno
import os
import shutil
import stat
from typing import Any, Dict, List, Optional

from . import state

OLD, NEW = "old", "new"
#: How a file system says that it has no symbolic or no hard links.
UNABLE = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_NOW, _NEXT = "now", "next"


class Switch:
    """The folder that the links of one change lead through."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def make(self, entries: List[Dict[str, Any]]) -> None:
        """Makes the folder, which shows the old content of each entry."""
        facts = os.stat(os.path.dirname(self.folder))
        os.mkdir(self.folder, 0o700)
        for side, name in ((OLD, "old"), (NEW, "temporary")):
            place = os.path.join(self.folder, side)
            os.mkdir(place, 0o700)
            for entry in entries:
                os.symlink(os.path.relpath(entry[name], place), os.path.join(place, self._number(entry)))
            _open_like(place, facts)
            state.sync_directory(place)
        os.symlink(OLD, os.path.join(self.folder, _NOW))
        _open_like(self.folder, facts)
        state.sync_directory(self.folder)
        state.sync_directory(os.path.dirname(self.folder))

    def side(self) -> Optional[str]:
        """What the links show now; None when there is no folder any more."""
        try:
            return os.readlink(os.path.join(self.folder, _NOW))
        except FileNotFoundError:
            return None

    def target(self, entry: Dict[str, Any]) -> str:
        """What the link in place of a file says."""
        inside = os.path.join(self.folder, _NOW, self._number(entry))
        return os.path.relpath(inside, os.path.dirname(entry["real"]))

    def turn(self, side: str) -> None:
        """Shows the other content of all files: the one rename."""
        following = os.path.join(self.folder, _NEXT)
        unlink(following)
        os.symlink(side, following)
        os.rename(following, os.path.join(self.folder, _NOW))
        state.sync_directory(self.folder)

    def remove(self) -> None:
        """Takes the folder away; no file may be a link any more."""
        if os.path.isdir(self.folder):
            shutil.rmtree(self.folder)
            state.sync_directory(os.path.dirname(self.folder))

    def _number(self, entry: Dict[str, Any]) -> str:
        backup = entry["backup"]  # type: str
        return os.path.basename(backup).partition(".")[0]


def _open_like(place: str, parent: os.stat_result) -> None:
    """Who may go through the parent may go through; nobody else may write."""
    if os.geteuid() == 0:
        os.chown(place, parent.st_uid, parent.st_gid)
    os.chmod(place, stat.S_IMODE(parent.st_mode) & 0o755 | 0o700)


def unlink(path: str) -> None:
    """Removes a name that may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
