"""T8 and T15: other controllers, certbot and people change the same files at the same time."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError

from tests.integration.deploy.conftest import HELD, WHOLE
from tests.integration.deploy.test_links_and_mounts import moved_behind_links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Issued
    from tests.integration.deploy.conftest import Target

CERTBOT_LOCK = "/etc/letsencrypt/.certbot.lock"


@contextmanager
def deploy_held_at(drawn: Target, point: str, issued: Issued) -> Iterator[dict[str, Any]]:
    """While the body runs a deploy waits at a point; afterwards its outcome is in the dictionary."""
    outcome: dict[str, Any] = {}

    def deploy() -> None:
        try:
            outcome.update(drawn.deploy(issued, verify_seconds=1))
        except HostProgramError as error:
            outcome.update(state=error.kind, message=str(error))

    drawn.fail_at(point, "hold=60")
    deploying = threading.Thread(target=deploy)
    deploying.start()
    try:
        drawn.host.wait_until(lambda: drawn.host.exists(HELD), f"no deploy comes to {point}", 60)
        yield outcome
    finally:
        drawn.host.run(["rm", "-f", HELD])
        deploying.join(120)


def put(drawn: Target, issued: Issued, kinds: tuple[str, ...] = ()) -> None:
    """What a person does who copies a certificate to its place and reloads."""
    parts = {
        "leaf": issued.certificate,
        "chain": issued.chain,
        "fullchain": issued.certificate + issued.chain,
        "key": issued.private_key,
        "combined": issued.certificate + issued.chain + issued.private_key,
    }
    for file in drawn.site.files:
        if not kinds or file.kind in kinds:
            drawn.host.write(file.path, parts[file.kind])


@pytest.mark.parametrize("point", ["looked", "staged", "swapping"])
def test_t15_files_that_change_between_our_check_and_our_swap_are_a_conflict(
    drawn: Target, point: str
) -> None:
    theirs, before = drawn.issue(), drawn.served()
    with deploy_held_at(drawn, point, drawn.issue()) as outcome:
        put(drawn, theirs)
        changed = drawn.bytes_on_disk()
    assert (outcome["state"], outcome["reason"], outcome["changed"]) == ("conflict", "file_changed", False)
    assert drawn.bytes_on_disk() == changed
    assert drawn.served() == before  # they have not reloaded yet
    assert not drawn.left()
    drawn.start_from_cold()
    assert drawn.served() == theirs.fingerprint


def test_t15_the_last_file_alone_that_changes_stops_the_whole_change(drawn: Target) -> None:
    last = drawn.site.files[-1].kind
    try:
        with deploy_held_at(drawn, "swapping", drawn.issue()) as outcome:
            put(drawn, drawn.issue(), (last,))
            changed = drawn.bytes_on_disk()
        assert (outcome["state"], outcome["reason"]) == ("conflict", "file_changed")
        assert drawn.bytes_on_disk() == changed
        assert not drawn.left()
    finally:  # what lies there now belongs to two pairs: no deploy would touch it
        put(drawn, drawn.issue())
        drawn.start_from_cold()


def test_t15_what_somebody_put_there_after_our_swap_stays_and_serves(drawn: Target) -> None:
    theirs = drawn.issue()
    with deploy_held_at(drawn, "tested", drawn.issue()) as outcome:
        put(drawn, theirs)
    assert (outcome["state"], outcome["reason"]) == ("conflict", "file_changed"), outcome
    assert "somebody else" in outcome["message"]
    assert drawn.served() == theirs.fingerprint
    assert drawn.settled()


def test_t8_certbot_that_renews_in_the_middle_of_a_deploy_wins(drawn: Target) -> None:
    """It holds its own lock, writes a new generation into its archive and lets its links lead there."""
    theirs = drawn.issue()
    with moved_behind_links(drawn, relative=True) as places:
        holder = f"mkdir -p /etc/letsencrypt; exec flock {CERTBOT_LOCK} sleep 60"
        drawn.host.run(["systemd-run", "--collect", "--unit=certbot", "sh", "-c", holder])
        try:
            with deploy_held_at(drawn, "swapping", drawn.issue()) as outcome:
                for path, place in places.items():
                    drawn.host.run(["cp", "-a", place, f"{place}.2"])
                    drawn.host.run(["ln", "-sfnr", f"{place}.2", path])
                put(drawn, theirs)
            assert outcome["state"] == "conflict", outcome
            assert drawn.served() == theirs.fingerprint
            assert drawn.settled()
        finally:
            drawn.host.run(["systemctl", "stop", "certbot"], check=False)
            for path, place in places.items():
                drawn.host.run(["mv", "-f", f"{place}.2", place])
                drawn.host.run(["ln", "-sfnr", place, path])
            drawn.host.run(["rm", "-rf", "/etc/letsencrypt"])
            drawn.start_from_cold()


def test_t8_deploys_of_two_controllers_at_once_take_turns_and_lose_nothing(drawn: Target) -> None:
    """Each is sent on its own, as by controllers that do not know of each other."""
    outcomes: list[dict[str, Any]] = []
    many = [drawn.issue() for _ in range(20 if WHOLE else 6)]
    threads = [
        threading.Thread(target=lambda one=one: outcomes.append(drawn.deploy(one, lock_seconds=120)))
        for one in many
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert [outcome["state"] for outcome in outcomes] == ["deployed"] * len(many)
    assert drawn.served() in {one.fingerprint for one in many}
    assert drawn.settled()
