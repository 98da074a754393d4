# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An order whose answer was lost is kept in mind as long as it may bring a certificate, and no longer."""

from __future__ import annotations

import os
import time
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import (
    acme,
    acme_sh,
    commands,
    custody,
    jose,
    keep,
    resume,
    sign,
    state,
)
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import Refused
from ansible_collections.notafter.tls.plugins.module_utils.host.order import Order, checked

if t.TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = "https://ca.example.com/acme/dir"
LINK = "https://ca.example.com/acme/order/1"
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
DAY = 86400.0
KEY = custody.new_key("ec-256")


def order(**more: t.Any) -> Order:
    """What is asked for in these tests."""
    wish: dict[str, t.Any] = {
        "attempt": "req-1",
        "names": ["a.test"],
        "csr": "-----BEGIN CERTIFICATE REQUEST-----",
        "ca": {"directory": DIRECTORY},
        "challenge": {"type": "dns-01", "provider": "dns_knot"},
    }
    return checked({**wish, **more})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> acme_sh.Home:
    """The home of an attempt that was filled for acme.sh."""
    monkeypatch.setattr(state, "SYSTEM_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    made = acme_sh.Home("req-1")
    made.fill(order(), "the key", "https://ca.example.com/acme/account/1")
    return made


def note(home: acme_sh.Home, age: float) -> None:
    """As if an order had been noted so long ago."""
    path = f"{home.path}/order.json"
    state.write_json(path, {"order": LINK, "account": "x", "ca": DIRECTORY, "at": time.time() - age})


def noted(home: acme_sh.Home) -> t.Any:
    """What is noted of an order."""
    return state.read_json(f"{home.path}/order.json")


def answer(monkeypatch: pytest.MonkeyPatch, body: str | Exception) -> None:
    """Has the CA say this of the order, and give the certificate where that is asked for."""

    def fetch(_ca: acme.Ca, url: str, _key: jose.Key, _account: str) -> acme.Reply:
        if isinstance(body, Exception):
            raise body
        return acme.Reply(200, {}, body if url == LINK else PEM)

    monkeypatch.setattr(acme.Ca, "fetch", fetch)


VALID = f'{{"status": "valid", "certificate": "{LINK}/certificate"}}'


@pytest.mark.parametrize("age", [60, 2 * DAY])
def test_a_certificate_that_is_there_is_taken_however_late(
    home: acme_sh.Home, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    note(home, age)
    answer(monkeypatch, VALID)
    assert resume.fetch(home, order(), KEY) is None
    with open(f"{home.path}/home/certificates/a.test/fullchain.cer") as stream:
        assert stream.read() == PEM


@pytest.mark.parametrize(
    ("body", "age", "is_kept"),
    [
        (acme.Unreachable("no answer"), 2 * DAY, True),
        (acme.Unreachable("no answer"), 8 * DAY, False),
        ('{"status": "processing"}', 1800, True),
        ('{"status": "processing"}', 2 * 3600, False),
        ('{"status": "invalid"}', 60, False),
        ("[]", 60, True),
        ("null", 60, True),
        ("<html>", 60, True),
    ],
)
def test_an_order_is_kept_in_mind_as_long_as_it_may_bring_something(
    home: acme_sh.Home, monkeypatch: pytest.MonkeyPatch, body: str | Exception, age: float, is_kept: bool
) -> None:
    note(home, age)
    answer(monkeypatch, body)
    failure = resume.fetch(home, order(), KEY)
    assert (failure is not None) is is_kept
    assert (noted(home) is not None) is is_kept


def test_who_tidies_up_after_a_kill_notes_the_order_before(home: acme_sh.Home) -> None:
    finalize = LINK + "/finalize"
    with open(f"{home.path}/home/certificates/a.test/a.test.conf", "a") as stream:
        stream.write(f"Le_OrderFinalize='{finalize}'\nLe_LinkOrder='{LINK}'\n")
    state.directory("attempts", "req-1", "home", "talk")
    state.write(f"{home.talk}/asked", f"POST\t28\t\t\t{finalize}\n".encode())
    sign.sweep("req-2")
    assert not home.secretive()
    assert noted(home)["order"] == LINK
    assert noted(home)["account"] == "https://ca.example.com/acme/account/1"


def test_a_wrong_certificate_is_forgotten_and_the_lock_stays(home: acme_sh.Home) -> None:
    with state.lock(f"{home.path}/lock", 0, "test"):
        pass
    before = os.stat(f"{home.path}/lock").st_ino
    keep.run({"name": "shop", "attempt": "req-1"})
    assert os.listdir(home.path) == ["lock"]
    assert os.stat(f"{home.path}/lock").st_ino == before


def test_what_is_replaced_is_not_found_as_the_new_one_though_it_has_the_same_key(
    home: acme_sh.Home, tmp_path: Path
) -> None:
    key, config = tmp_path / "key.pem", ["-subj", "/CN=a.test"]
    key.write_text(KEY)
    made = [
        commands.run(["openssl", "req", "-new", "-key", str(key), *config, *more]).stdout.decode("ascii")
        for more in ([], ["-x509"], ["-x509"])
    ]
    again = order(csr=made[0], replaces=made[1])
    home.fill(again, "the key", None)
    assert home.finished(again) is None
    home.put(again, made[2])
    assert home.finished(again) == (made[2], "")


def said(home: acme_sh.Home, text: str) -> acme_sh._Watch:
    """One who looks on at an acme.sh that has said this."""
    with open(home.output, "w") as stream:
        stream.write(text)
    return acme_sh._Watch(home, 600)


@pytest.mark.parametrize(
    ("text", "is_hopeless"),
    [
        ("Sleeping for 120 seconds to wait for the the TXT records to take effect\n", False),
        ("Let's check each DNS record now. Sleeping for 20 seconds first.\n", False),
        ("It seems the CA server is busy now, let's wait and retry. Sleeping for 5 seconds.\n", False),
        ("It seems the CA server is busy now, let's wait and retry. Sleeping for 86400 seconds.\n", True),
        ("The order is pending. Sleeping for 700 seconds and retrying.\n", True),
    ],
)
def test_only_a_wait_that_the_ca_wants_is_too_long(home: acme_sh.Home, text: str, is_hopeless: bool) -> None:
    assert said(home, text).is_hopeless() is is_hopeless


def test_a_wait_for_txt_records_that_leaves_no_time_is_refused() -> None:
    wish = {"type": "dns-01", "provider": "dns_knot", "dns_sleep": 600}
    assert order(challenge=wish, timeout=700).challenge.dns_sleep == 600
    with pytest.raises(Refused, match=r"dns_sleep \(600 s\) is not less than"):
        order(challenge=wish)
