"""The CA and the DNS server are real enough for an unmodified acme.sh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.lab import SMALL, LabHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab import Lab
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
def issuer(small_lab: Lab) -> Iterator[Issuer]:
    host = small_lab.hosts["issuer"]
    assert host.run(["sh", "-c", "command -v acme.sh"], check=False).returncode != 0
    host.write("/root/acme.deb", small_lab.acme_sh_package.read_bytes())
    host.run(["dpkg", "-i", "/root/acme.deb"])
    yield Issuer(small_lab)
    host.run(["dpkg", "--purge", "acme.sh"])


def test_a_wildcard_is_issued_by_dns_01_and_leads_to_the_issuing_root(issuer: Issuer) -> None:
    before = issuer.lab.ca.orders()

    pem = issuer.issue("--dns", "dns_knot", "-d", "apps.lab.test", "-d", "*.apps.lab.test")

    names = issuer.openssl(pem, "-ext", "subjectAltName")
    assert "DNS:apps.lab.test" in names
    assert "DNS:*.apps.lab.test" in names
    issuer.host.write("/root/root.pem", issuer.lab.ca.issuing_root_pem())
    issuer.host.write("/root/chain.pem", pem)
    verify = ["openssl", "verify", "-CAfile", "/root/root.pem", "-untrusted", "/root/chain.pem"]
    assert "OK" in issuer.host.run([*verify, "/root/chain.pem"]).stdout
    assert issuer.lab.ca.orders() == before + 1


def test_no_challenge_record_stays_behind(issuer: Issuer) -> None:
    issuer.issue("--dns", "dns_knot", "-d", "www.lab.test")

    assert issuer.lab.dns.lookup("_acme-challenge.www.lab.test") == []


def test_the_issuers_own_name_is_issued_by_http_01_with_a_webroot(issuer: Issuer) -> None:
    site = issuer.lab.site("desk")

    pem = issuer.issue("-w", site.document_root, "-d", site.names[0])

    assert "DNS:desk.lab.test" in issuer.openssl(pem, "-ext", "subjectAltName")


def test_the_profile_minutes_has_the_validity_that_was_asked_for(raise_lab: RaiseLab) -> None:
    lab = raise_lab(SMALL, initial_validity=90, minutes_validity=120)
    lab.hosts["issuer"].write("/root/acme.deb", lab.acme_sh_package.read_bytes())
    lab.hosts["issuer"].run(["dpkg", "-i", "/root/acme.deb"])
    issuer = Issuer(lab)

    issued = issuer.issue("--dns", "dns_knot", "-d", "www.lab.test", profile="minutes")
    first = lab.hosts["web1"].read("/etc/ssl/www/fullchain.pem")

    # A certificate is valid in its last second too, and pebble counts that one in.
    assert _validity(issuer, issued) in {timedelta(seconds=119), timedelta(seconds=120)}
    assert _validity(issuer, first) == timedelta(seconds=90)


def test_renewal_information_is_what_was_set(issuer: Issuer) -> None:
    pem = issuer.issue("--dns", "dns_knot", "-d", "ari.lab.test")
    start = datetime(2031, 5, 1, 12, tzinfo=UTC)

    issuer.lab.ca.set_renewal_info(pem, start, start + timedelta(hours=1), "https://why.lab.test/")

    answer = issuer.lab.ca.renewal_info(pem)
    assert answer["suggestedWindow"] == {"start": "2031-05-01T12:00:00Z", "end": "2031-05-01T13:00:00Z"}
    assert answer["explanationURL"] == "https://why.lab.test/"


def test_a_ca_that_was_stopped_and_started_issues_again_from_another_root(issuer: Issuer) -> None:
    ca = issuer.lab.ca
    before, orders = ca.issuing_root_pem(), ca.orders()

    ca.stop()
    assert not ca.answers()
    ca.start()

    assert ca.issuing_root_pem() != before
    assert ca.orders() == orders
    issuer.issue("--dns", "dns_knot", "-d", "www.lab.test")


def _validity(issuer: Issuer, pem: str) -> timedelta:
    lines = issuer.openssl(pem, "-startdate", "-enddate").splitlines()
    start, end = (
        datetime.strptime(line.partition("=")[2], "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
        for line in lines
    )
    return end - start
