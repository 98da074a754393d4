"""The CA and the DNS server are real enough for an unmodified acme.sh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab import Lab, LabHost
    from tests.lab.fixtures import RaiseLab

_HOME = "/var/lib/acme-test"
_homes = count()


class Issuer:
    """acme.sh on the lab's issuer, with a home of its own for each run."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.host: LabHost = lab.hosts["issuer"]
        self.host.write(f"{_HOME}/https-root.pem", lab.ca.https_root.read_bytes())

    def issue(self, *arguments: str, profile: str = "default") -> str:
        """The full chain of a new certificate."""
        home = f"{_HOME}/{next(_homes)}"
        self.host.run(["mkdir", "-p", home])
        command = ["acme.sh", "--issue", "--home", home, "--config-home", home, "--dnssleep", "0"]
        command += ["--server", self.lab.ca.directory_url, "--ca-bundle", f"{_HOME}/https-root.pem"]
        command += ["--cert-profile", profile, "--fullchain-file", f"{home}/out.pem", *arguments]
        self.host.run(command, env=self.lab.dns.variables, timeout=120)
        return self.host.read(f"{home}/out.pem")

    def openssl(self, pem: str, *arguments: str) -> str:
        return self.host.run(["openssl", "x509", "-noout", *arguments], input=pem).stdout


@pytest.fixture(scope="module")
def issuer(small_lab: Lab) -> Issuer:
    host = small_lab.hosts["issuer"]
    assert host.run(["sh", "-c", "command -v acme.sh"], check=False).returncode != 0
    host.write("/root/acme.deb", small_lab.acme_sh_package.read_bytes())
    host.run(["dpkg", "-i", "/root/acme.deb"])
    return Issuer(small_lab)


@pytest.fixture(scope="module")
def wildcard(issuer: Issuer) -> str:
    before = issuer.lab.ca.orders()
    pem = issuer.issue("--dns", "dns_knot", "-d", "apps.lab.test", "-d", "*.apps.lab.test")
    assert issuer.lab.ca.orders() == before + 1
    return pem


def test_a_wildcard_is_issued_by_dns_01_and_leads_to_the_issuing_root(issuer: Issuer, wildcard: str) -> None:
    names = issuer.openssl(wildcard, "-ext", "subjectAltName")
    issuer.host.write("/root/root.pem", issuer.lab.ca.issuing_root_pem())
    issuer.host.write("/root/chain.pem", wildcard)
    verify = ["openssl", "verify", "-CAfile", "/root/root.pem", "-untrusted", "/root/chain.pem"]

    assert "DNS:apps.lab.test" in names
    assert "DNS:*.apps.lab.test" in names
    assert "OK" in issuer.host.run([*verify, "/root/chain.pem"]).stdout


@pytest.mark.usefixtures("wildcard")
def test_no_challenge_record_stays_behind(issuer: Issuer) -> None:
    assert issuer.lab.dns.lookup("_acme-challenge.apps.lab.test") == []


def test_the_issuers_own_name_is_issued_by_http_01_with_a_webroot(issuer: Issuer) -> None:
    site = issuer.lab.site("desk")

    pem = issuer.issue("-w", site.document_root, "-d", site.names[0])

    assert "DNS:desk.lab.test" in issuer.openssl(pem, "-ext", "subjectAltName")


def test_the_profile_minutes_has_the_validity_that_was_asked_for(issuer: Issuer) -> None:
    pem = issuer.issue("--dns", "dns_knot", "-d", "www.lab.test", profile="minutes")

    # The last second of a certificate counts: pebble takes it off, as RFC 5280 has it.
    assert _validity(issuer, pem) == timedelta(seconds=240 - 1)


def test_the_first_certificates_have_the_validity_that_was_asked_for(issuer: Issuer) -> None:
    first = issuer.lab.hosts["web1"].read("/etc/ssl/www/fullchain.pem")

    assert _validity(issuer, first) == timedelta(days=1)


def test_renewal_information_is_what_was_set(issuer: Issuer, wildcard: str) -> None:
    start = datetime(2031, 5, 1, 12, tzinfo=UTC)
    window = {"start": "2031-05-01T12:00:00Z", "end": "2031-05-01T13:00:00Z"}
    assert issuer.lab.ca.renewal_info(wildcard)["suggestedWindow"] != window

    issuer.lab.ca.set_renewal_info(wildcard, start, start + timedelta(hours=1), "https://why.lab.test/")

    answer = issuer.lab.ca.renewal_info(wildcard)
    assert answer["suggestedWindow"] == window
    assert answer["explanationURL"] == "https://why.lab.test/"


def test_a_ca_that_was_stopped_and_started_answers_with_another_root(raise_lab: RaiseLab) -> None:
    ca = raise_lab().ca
    before = ca.issuing_root_pem()

    ca.stop()
    assert not ca.answers()
    ca.start()

    assert ca.issuing_root_pem() != before


def _validity(issuer: Issuer, pem: str) -> timedelta:
    lines = issuer.openssl(pem, "-startdate", "-enddate").splitlines()
    start, end = (
        datetime.strptime(line.partition("=")[2], "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
        for line in lines
    )
    return end - start
