"""T2, T3: what may not be written is told before anything is; T12: what a file has beside bytes stays."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError

from tests.integration.hosts import UNPRIVILEGED, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.deploy.conftest import Target

LABEL = "system_u:object_r:cert_t:s0"


def read_only(drawn: Target, folder: str, _path: str) -> tuple[list[str], list[str]]:
    drawn.host.run(["mount", "--bind", folder, folder])
    return ["mount", "-o", "remount,ro,bind", folder], ["umount", folder]


def immutable_file(_drawn: Target, _folder: str, path: str) -> tuple[list[str], list[str]]:
    return ["chattr", "+i", path], ["chattr", "-i", path]


def appended_to_only(_drawn: Target, _folder: str, path: str) -> tuple[list[str], list[str]]:
    return ["chattr", "+a", path], ["chattr", "-a", path]


def immutable_folder(_drawn: Target, folder: str, _path: str) -> tuple[list[str], list[str]]:
    return ["chattr", "+i", folder], ["chattr", "-i", folder]


def read_only_state(drawn: Target, _folder: str, _path: str) -> tuple[list[str], list[str]]:
    drawn.host.run(["mkdir", "-p", "/var/lib/notafter"])
    drawn.host.run(["mount", "--bind", "/var/lib/notafter", "/var/lib/notafter"])
    return ["mount", "-o", "remount,ro,bind", "/var/lib/notafter"], ["umount", "/var/lib/notafter"]


@contextmanager
def forbidden(drawn: Target, how: str) -> Iterator[None]:
    """The last file of the site may not be changed, in one of the ways above."""
    path = drawn.site.files[-1].path
    forbid, allow = globals()[how](drawn, path.rpartition("/")[0], path)
    drawn.host.run(forbid)
    try:
        yield
    finally:
        drawn.host.run(allow)


@pytest.mark.parametrize("how", ["read_only", "immutable_file", "appended_to_only", "immutable_folder"])
def test_t2_what_may_not_be_changed_is_told_before_anything_is(drawn: Target, how: str) -> None:
    with forbidden(drawn, how):
        before, served = drawn.snapshot(), drawn.served()
        outcome = drawn.deploy(drawn.issue())
        assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "not_writable"), outcome
        assert (drawn.snapshot(), drawn.served()) == (before, served)
    assert not drawn.left()


def test_t2_a_host_that_can_keep_no_journal_is_not_worked_on(drawn: Target) -> None:
    with forbidden(drawn, "read_only_state"):
        before = drawn.snapshot()
        with pytest.raises(HostProgramError) as caught:
            drawn.deploy(drawn.issue())
        assert caught.value.kind == "not_writable"
        assert drawn.snapshot() == before


def test_t2_a_user_without_rights_is_told_so_and_changes_nothing(drawn: Target) -> None:
    """As when nobody has asked for `become`, or sudo is refused and the play goes on without."""
    before, served = drawn.snapshot(), drawn.served()
    prefix = ("env", "HOME=/tmp/nobody", *UNPRIVILEGED)
    drawn.host.run(["install", "-d", "-o", "nobody", "/tmp/nobody"])
    try:
        outcome = send(drawn.host, drawn.request(drawn.issue()), prefix)["deployments"][0]
    finally:
        drawn.host.run(["rm", "-r", "/tmp/nobody"])
    assert outcome["state"] == "blocked_by_host", outcome
    assert (drawn.snapshot(), drawn.served()) == (before, served)


def test_t3_t12_the_label_and_all_else_of_a_file_stay(drawn: Target) -> None:
    """Where no SELinux runs, its label is an attribute like any other: it must be there when one does."""
    path = drawn.path("key", "combined")
    mode = drawn.host.run(["stat", "-c", "%a %u:%g", path]).stdout.split()
    drawn.host.run(["setfattr", "-n", "security.selinux", "-v", LABEL, path])
    drawn.host.run(["setfattr", "-n", "user.team", "-v", "shop", path])
    drawn.host.run(["chown", "root:www-data", path])
    drawn.host.run(["chmod", "0640", path])
    drawn.host.run(["setfacl", "-m", "u:nobody:r", path])
    look = ["sh", "-c", "stat -c '%a %u %g %C' $1; getfacl -p $1; getfattr -d -m - $1", "sh", path]
    try:
        before = drawn.host.run(look).stdout
        assert drawn.deploy(drawn.issue())["state"] == "deployed"
        assert drawn.host.run(look).stdout == before
        drawn.fail_at("tested", "raise")
        assert drawn.deploy(drawn.issue())["state"] == "rolled_back"
        assert drawn.host.run(look).stdout == before
    finally:
        drawn.host.run(["setfacl", "-b", path])
        drawn.host.run(["setfattr", "-x", "security.selinux", path])
        drawn.host.run(["setfattr", "-x", "user.team", path])
        drawn.host.run(["chmod", mode[0], path])
        drawn.host.run(["chown", mode[1], path])


def test_t12_new_files_are_private_where_they_hold_a_key_and_readable_where_not(nginx: Target) -> None:
    files = [{"path": f"/etc/ssl/new.{kind}", "kind": kind, "sha256": None} for kind in ("fullchain", "key")]
    try:
        wish = nginx.wish(service="files", listeners=[], files=files)
        assert nginx.deploy(nginx.issue(), deployments=[wish])["state"] == "staged"
        modes = nginx.host.run(["stat", "-c", "%a %U", *[str(file["path"]) for file in files]]).stdout
        assert modes.split("\n")[:2] == ["644 root", "600 root"]
    finally:
        nginx.host.run(["sh", "-c", "rm -f /etc/ssl/new.*"])
