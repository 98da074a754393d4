"""`state: previous`: what a deployment had before its last change serves again, or nothing is touched."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.integration.deploy.test_a_deploy_changes_what_is_served_or_nothing import reload_that_does

if TYPE_CHECKING:
    from tests.authority import Authority, Issued
    from tests.integration.deploy.conftest import Target


def back(target: Target, **changes: Any) -> dict[str, Any]:
    """The outcome of putting back what the site had before."""
    request = {
        "op": "deploy",
        "state": "previous",
        "now": time.time(),
        "deployments": [target.wish()],
        "bundles": {},
        "verify_seconds": 4,
        **changes,
    }
    outcome: dict[str, Any] = target.send(request)["deployments"][0]
    return outcome


def deployed(target: Target, issued: Issued) -> Issued:
    """A certificate that has been deployed."""
    outcome = target.deploy(issued)
    assert outcome["state"] == "deployed", outcome
    return issued


def test_the_previous_certificate_serves_again_and_a_second_time_changes_nothing(target: Target) -> None:
    first = deployed(target, target.issue())
    before, metadata = target.bytes_on_disk(), target.metadata()
    second = deployed(target, target.issue())
    outcome = back(target)
    assert (outcome["state"], outcome["reason"]) == ("deployed", "verified"), outcome
    assert outcome["before_fingerprint"] == second.fingerprint
    assert outcome["live_fingerprint"] == first.fingerprint == target.served()
    assert (target.bytes_on_disk(), target.metadata()) == (before, metadata)
    again = back(target)
    assert (again["state"], again["reason"]) == ("unchanged", "already_previous")
    assert target.served() == first.fingerprint
    deployed(target, second)
    assert target.served() == second.fingerprint


def test_check_mode_says_what_would_come_back_and_changes_nothing(nginx: Target) -> None:
    deployed(nginx, nginx.issue())
    second = deployed(nginx, nginx.issue())
    outcome = back(nginx, check=True)
    assert outcome["state"] == "planned"
    assert "would replace" in outcome["message"]
    assert nginx.served() == second.fingerprint


def test_without_a_back_up_nothing_is_touched(nginx: Target) -> None:
    issued = deployed(nginx, nginx.issue())
    nginx.host.run(["rm", "-rf", "/var/lib/notafter/transactions"])
    outcome = back(nginx)
    assert (outcome["state"], outcome["reason"]) == ("refused", "no_backup")
    assert nginx.served() == issued.fingerprint


def test_a_file_that_was_changed_since_is_a_conflict(nginx: Target) -> None:
    deployed(nginx, nginx.issue())
    issued = deployed(nginx, nginx.issue())
    path = nginx.site.files[0].path
    nginx.host.write(path, nginx.host.read(path) + "\n# by hand\n")
    before = nginx.bytes_on_disk()
    outcome = back(nginx)
    assert (outcome["state"], outcome["reason"]) == ("conflict", "file_changed")
    assert nginx.bytes_on_disk() == before
    assert nginx.served() == issued.fingerprint


def test_a_previous_certificate_that_ended_comes_back_by_force_alone(
    nginx: Target, authority: Authority
) -> None:
    """The controller's time decides, whatever the host's clock says."""
    first = deployed(nginx, authority.issue(*nginx.site.names, end=timedelta(days=2)))
    second = deployed(nginx, nginx.issue())
    later = time.time() + 3 * 86400
    outcome = back(nginx, now=later)
    assert (outcome["state"], outcome["reason"]) == ("refused", "expired")
    assert nginx.served() == second.fingerprint
    assert back(nginx, now=later, force=True)["state"] == "deployed"
    assert nginx.served() == first.fingerprint


def test_a_revoked_certificate_never_comes_back(nginx: Target) -> None:
    first = deployed(nginx, nginx.issue())
    second = deployed(nginx, nginx.issue())
    outcome = back(nginx, refused=[first.fingerprint], force=True)
    assert (outcome["state"], outcome["reason"]) == ("refused", "revoked")
    assert nginx.served() == second.fingerprint


def test_where_the_previous_one_does_not_serve_the_newest_stays(nginx: Target) -> None:
    """The reload does nothing: what is served stays, and the files with it."""
    deployed(nginx, nginx.issue())
    second = deployed(nginx, nginx.issue())
    before = nginx.bytes_on_disk()
    with reload_that_does(nginx.host, "nginx", "/bin/true"):
        outcome = back(nginx, verify_seconds=1)
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "not_served")
    assert "not the previous certificate" in outcome["message"]
    assert (nginx.bytes_on_disk(), nginx.served()) == (before, second.fingerprint)


def test_back_ups_of_keys_are_kept_where_only_root_looks_and_the_newest_of_each_file_stays(
    nginx: Target, authority: Authority
) -> None:
    first = deployed(nginx, nginx.issue())
    deployed(nginx, nginx.issue())
    other = "/etc/ssl/retained.pem"
    wish = nginx.wish(
        service="files", listeners=[], files=[{"path": other, "kind": "combined", "sha256": None}]
    )
    for _turn in range(7):
        outcome = nginx.deploy(authority.issue("retained.test"), deployments=[wish])
        assert outcome["state"] == "staged", outcome
    folders = nginx.host.run(["sh", "-c", "stat -c %a /var/lib/notafter/transactions/*"]).stdout.split()
    assert set(folders) == {"700"}
    kept = ["sh", "-c", f"grep -l {other} /var/lib/notafter/transactions/*/journal.json"]
    assert len(nginx.host.run(kept).stdout.split()) == 5
    keys = nginx.host.run(["sh", "-c", "grep -l PRIVATE -r /var/lib/notafter | xargs stat -c %a"]).stdout
    assert set(keys.split()) == {"600"}
    nginx.host.run(["rm", "-f", other])
    assert back(nginx)["state"] == "deployed"
    assert nginx.served() == first.fingerprint
