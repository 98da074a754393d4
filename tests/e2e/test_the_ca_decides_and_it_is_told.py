"""C5, C9, C14: a CA that refuses a proof, wants a certificate back early, or certifies for a shorter time.

Real hosts and a real CA; the time that has passed is brought about in the database.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from notafter.store import certificates

if TYPE_CHECKING:
    from tests.e2e.conftest import Story

DAY = timedelta(days=1)


def pem_served(story: Story, key: str) -> str:
    """What clients get now."""
    site = story.site(key)
    return ssl.DER_cert_to_PEM_cert(story.lab.served_certificate(site.hosts[0], site.port, site.probe_name))


def let_days_pass(story: Story, key: str, days: int) -> None:
    """As if the version in place had been issued so long ago, and the CA is asked for its window at once."""
    with story.rows() as session:
        row = certificates.by_key(session, story.certificate(key)["key"])
        assert row.current is not None
        row.current.not_before -= days * DAY
        row.current.created_at -= days * DAY
        row.current.ari_next_poll_at = None


def moment(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text)


def test_c5_a_proof_that_the_ca_refuses_is_told_with_the_name_and_the_cas_own_words(story: Story) -> None:
    plane, dns, orders = story.plane, story.lab.dns, story.lab.ca.orders()
    challenge = "_acme-challenge.apps.lab.test"
    dns.set_cname(challenge, "nobody.lab.test")  # where it leads to nothing is ever set
    try:
        before = story.renew("apps")
        plane.wait_until(story.settled, "the run does not end")
    finally:
        dns.clear(challenge, "CNAME")
    (item, place) = story.newest_job("renew")["details"]
    assert (item["state"], item["reason"]) == ("failed", "challenge_failed")
    assert "apps.lab.test" in item["message"]
    assert "TXT records for DNS challenge" in item["message"]
    assert item["message"].count('"') != 1, "it does not break off at the first quote of the CA's words"
    assert (place["state"], place["reason"]) == ("skipped", "issue_failed")
    told = story.certificate("apps")
    assert (told["last_problem"], told["failures"]) == (item["message"], 1)
    assert told["next_step"]["code"] == "backing_off"
    assert story.served("apps") == set(before.values()), "who is served stays served"
    assert story.lab.ca.orders() - orders == 1, "it is not asked for again at once"
    story.let_back_offs_pass()
    story.wait_until_done(before)


def test_c9_a_certificate_that_the_ca_wants_back_is_replaced_at_once_and_says_so(story: Story) -> None:
    plane, ca, orders = story.plane, story.lab.ca, story.lab.ca.orders()
    now, before = datetime.now(UTC), {"www": story.certificate("www")["fingerprint"]}
    ca.set_renewal_info(pem_served(story, "www"), now - 2 * DAY, now - DAY, "https://ca.lab.test/incident")
    let_days_pass(story, "www", 20)
    plane.wait_until(
        lambda: story.certificate("www")["fingerprint"] != before["www"], "it is not replaced", 150
    )
    story.wait_until_done(before)
    job = story.newest_job("renew")
    assert (job["requested_by"], job["reason"]) == ("scheduler", "ca_hurries")
    assert "the CA wants it replaced long before its time" in job["details"][0]["due_reason"]
    assert ca.orders() - orders == 1
    assert "is a replacement of" in ca.told()


@pytest.mark.long
def test_c14_lives_that_shrink_from_one_renewal_to_the_next_are_followed(story: Story) -> None:
    """From 90 days to 6, and to minutes."""
    for profile, days in (("short", 6), ("default", 90)):
        with story.rows() as session:
            certificates.by_key(session, story.certificate("wiki")["key"]).profile = profile
        story.wait_until_done(story.renew("wiki"))
        known = story.certificate("wiki")
        newest = max(known["versions"], key=lambda version: str(version["created_at"]))
        begins, ends = moment(newest["created_at"]), moment(newest["not_after"])
        share = (ends - moment(known["next_step"]["at"])) / (ends - begins)
        assert round((ends - begins) / DAY) == days
        assert 0.2 <= share <= 0.7, "neither at once nor in the last fifth"
