"""A CA that is gone for days, and a key that others know: another certificate comes in time.

Real hosts, a real CA: only the time that has passed is brought about in the database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from notafter.store import accounts, certificates

from tests.plane import ACCOUNT, CREDENTIAL, PlaneError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Story

DAY = timedelta(days=1)
#: Nothing listens there.
DEAD = "https://127.0.0.1:1/dir"


def test_h1_what_serves_is_revoked_only_by_force_and_then_replaced_at_once_everywhere(story: Story) -> None:
    before = story.renew("apps")
    story.wait_until_done(before)
    ours = story.certificate("apps")
    version = next(one for one in ours["versions"] if one["fingerprint"] == ours["fingerprint"])
    url = f"/api/v1/certificates/{ours['id']}/revoke"
    asked = {"fingerprint": version["fingerprint"], "reason": "keyCompromise", "by": "key"}
    with pytest.raises(PlaneError, match=r"409 .*still serves at web1"):
        story.plane.ask("POST", url, asked)
    assert story.lab.ca.status(version["serial"])["Status"] == "Valid"
    story.plane.ask("POST", url, {**asked, "force_because": "the host was broken into"})
    story.wait_until_done({"apps": version["fingerprint"]})
    status = story.lab.ca.status(version["serial"])
    assert (status["Status"], status["Reason"]) == ("Revoked", 1)
    job = story.newest_job("revoke")
    assert [(item["state"], item["message"]) for item in job["details"]] == [
        ("succeeded", "revoked: keyCompromise")
    ]
    renewal = story.newest_job("renew")
    assert (renewal["requested_by"], renewal["reason"]) == ("scheduler", "revoked")
    newest = next(one for one in story.certificate("apps")["versions"] if one["revoked_at"] is None)
    assert story.lab.ca.status(newest["serial"])["Status"] == "Valid"


@pytest.fixture
def two_accounts(story: Story) -> Iterator[None]:
    """The CA of the first account is gone; the second account is at one that answers."""
    ca = story.lab.ca
    words = ("--name", "second", "--directory", ca.directory_url, "--bundle", str(ca.https_root))
    story.plane.cli("account", "create", *words)
    with story.rows() as session:
        accounts.by_name(session, ACCOUNT).directory = DEAD
    yield
    with story.rows() as session:
        accounts.by_name(session, ACCOUNT).directory = ca.directory_url
    adopt(story, ACCOUNT)


def adopt(story: Story, *names: str) -> None:
    first, *others = names
    terms = {
        "account": first,
        "alternatives": others,
        "challenge": "dns-01",
        "provider": story.lab.dns.provider,
        "credential": CREDENTIAL,
    }
    story.plane.ask("POST", f"/api/v1/certificates/{story.certificate('edge')['id']}/adopt", terms)


@pytest.mark.usefixtures("two_accounts")
def test_c8_when_its_ca_is_gone_and_its_end_is_near_the_second_ca_issues_once_and_says_why(
    story: Story,
) -> None:
    before, orders = {"edge": story.certificate("edge")["fingerprint"]}, story.lab.ca.orders()
    adopt(story, ACCOUNT, "second")
    with story.rows() as session:  # as if it had lived for most of its life
        row = certificates.by_key(session, story.certificate("edge")["key"])
        assert row.current is not None
        row.current.not_before = row.current.created_at = datetime.now(UTC) - 80 * DAY
        row.current.not_after = datetime.now(UTC) + 10 * DAY
        row.renew_at = datetime.now(UTC)
    story.plane.wait_until(
        lambda: story.certificate("edge")["failures"] > 0 and story.settled(), "the dead CA is not asked"
    )
    failed = story.newest_job("renew")
    assert [item["reason"] for item in failed["details"]] == ["ca_unavailable", "issue_failed"]
    story.let_back_offs_pass()
    story.wait_until_done(before)
    renewal = story.newest_job("renew")
    assert (
        f"with the CA account second, because the CA account {ACCOUNT}" in renewal["details"][0]["due_reason"]
    )
    assert story.lab.ca.orders() - orders == 1
    assert story.certificate("edge")["failures"] == 0
