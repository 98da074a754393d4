# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server serves is read from the variables of the certificates."""

from __future__ import annotations

import typing as t

from ansible_collections.notafter.tls.plugins.plugin_utils import placements

FILES = [{"path": "/etc/ssl/shop.pem", "kind": "combined"}]
SHOP: dict[str, t.Any] = {
    "certificate_names": ["shop.example.com", "www.shop.example.com"],
    "certificate_key_type": "rsa-2048",
    "certificate_deployments": [
        {"server": "web1", "service": "nginx", "files": FILES},
        {
            "server": "web2",
            "service": "haproxy",
            "names": ["shop.example.com"],
            "listeners": ["*:8443"],
            "files": FILES,
        },
    ],
}
SIGNED = {"certificate": {"fingerprint_sha256": "ab" * 32}}


def test_a_signed_certificate_is_deployed_where_it_belongs() -> None:
    hostvars = {"shop": {**SHOP, "issue_signed": SIGNED}}
    (one,) = placements.deployments(hostvars, ["shop"], "web1")
    assert one["fingerprint"] == "ab" * 32
    assert one["names"] == SHOP["certificate_names"]
    assert one["listeners"] == ["*:443"]
    assert one["key_type"] == "rsa"


def test_a_deployment_may_have_names_and_listeners_of_its_own() -> None:
    hostvars = {"shop": {**SHOP, "issue_signed": SIGNED}}
    (one,) = placements.deployments(hostvars, ["shop"], "web2")
    assert (one["service"], one["names"], one["listeners"]) == ("haproxy", ["shop.example.com"], ["*:8443"])


def test_a_certificate_that_was_not_signed_is_left_out() -> None:
    failed = {"failed": True, "failure": {"class": "challenge_failed"}}
    assert placements.deployments({"shop": {**SHOP, "issue_signed": failed}}, ["shop"], "web1") == []


def test_what_the_issuer_keeps_is_deployed_when_nothing_was_due() -> None:
    hostvars = {"shop": {**SHOP, "issue_request": SIGNED, "issue_signed": {"skipped": True}}}
    (one,) = placements.deployments(hostvars, ["shop"], "web1")
    assert one["fingerprint"] == "ab" * 32


def test_a_deploy_job_says_which_version_is_wanted() -> None:
    (one,) = placements.deployments(
        {"shop": {**SHOP, "certificate_fingerprint": "cd" * 32}}, ["shop"], "web1"
    )
    assert one["fingerprint"] == "cd" * 32


def test_a_server_that_is_not_named_gets_nothing() -> None:
    assert placements.deployments({"shop": {**SHOP, "issue_signed": SIGNED}}, ["shop"], "web9") == []


def test_the_names_to_answer_for_are_gathered_by_account_and_service() -> None:
    stateless = {**SHOP, "certificate_challenge": {"type": "http-01", "mode": "stateless"}}
    hostvars = {
        "shop": {**stateless, "certificate_thumbprint": "T1"},
        "blog": {
            **stateless,
            "certificate_names": ["blog.example.com"],
            "issue_request": {"thumbprint": "T1"},
        },
        "mail": {**stateless, "certificate_names": ["mail.example.com"], "certificate_thumbprint": "T2"},
    }
    assert placements.challenges(hostvars, ["shop", "blog", "mail"], "web1") == [
        {"thumbprint": "T1", "services": {"nginx": [*SHOP["certificate_names"], "blog.example.com"]}},
        {"thumbprint": "T2", "services": {"nginx": ["mail.example.com"]}},
    ]


def test_nothing_is_answered_for_dns_or_where_nothing_is_due() -> None:
    hostvars = {
        "shop": {**SHOP, "certificate_challenge": {"type": "dns-01", "provider": "dns_cf"}},
        "blog": {**SHOP, "certificate_challenge": {"type": "http-01", "mode": "stateless"}},
    }
    assert placements.challenges(hostvars, ["shop", "blog"], "web1") == []


def test_where_no_configured_name_can_be_asked_for_the_certificates_own_are() -> None:
    wish = {"server": "web1", "service": "nginx", "names": ["~^shop[0-9]+$"], "files": FILES}
    hostvars = {"shop": {**SHOP, "issue_signed": SIGNED, "certificate_deployments": [wish]}}
    (one,) = placements.deployments(hostvars, ["shop"], "web1")
    assert one["names"] == ["~^shop[0-9]+$", *SHOP["certificate_names"]]
