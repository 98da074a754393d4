"""MariaDB as administrators set it up: many option files, several servers, and who has the last word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

FOLDER = "/etc/mysql/mariadb.conf.d"
DATA = "/var/lib/mysql"
TLS = "[mysqld]\nssl-cert = %C/a.crt\nssl-key = %C/a.key\n"
OWN = """# of our own
[client]
ssl-cert = %C/c.crt
[mysqld ]
datadir = /srv/own-mariadb/data
socket = "/srv/own-mariadb/socket"
pid-file = /srv/own-mariadb/pid
innodb_log_file_size = 4M
port = 3400
extra-port = 3401
bind-address = ::
ssl_cert = pair.pem
ssl_key = nowhere.key
"""
OWN_UNIT = """[Service]
User=mysql
ExecStart=/usr/sbin/mariadbd --defaults-file=/srv/own-mariadb/my.cnf --ssl-key=pair.pem
"""


@pytest.fixture
def corpus(servers: LabHost, authority: Authority) -> Iterator[Corpus]:
    """Certificates of MariaDB's account; afterwards the server is stopped and as it was."""
    found = Corpus(servers, authority, "/srv/mariadb-corpus")
    found.certificates("a", "b", "c")
    servers.run(["chown", "-R", "mysql:", found.folder])
    yield found
    servers.run(["systemctl", "stop", "mariadb", "own-mariadb"], check=False)
    servers.run(["rm", "-rf", "/srv/own-mariadb"])
    found.put_back()
    servers.run(["systemctl", "daemon-reload"])
    servers.run(["systemctl", "reset-failed", "mariadb"], check=False)


def set_up(corpus: Corpus, text: str = TLS, file: str = "90-tls.cnf") -> None:
    """Starts Debian's own server with a further option file."""
    corpus.write(f"{FOLDER}/{file}", text)
    corpus.host.run(["systemctl", "start", "mariadb"])


def process_of(host: LabHost) -> str:
    """The number of the running server."""
    return host.run(["systemctl", "show", "-P", "MainPID", "mariadb"]).stdout.strip()


def own_server(corpus: Corpus) -> None:
    """Starts a second server with files, ports and a data directory of its own."""
    host = corpus.host
    host.run(["install", "-d", "-o", "mysql", "-m", "700", "/srv/own-mariadb"])
    corpus.write("/srv/own-mariadb/my.cnf", OWN)
    corpus.write("/etc/systemd/system/own-mariadb.service", OWN_UNIT)
    install = ["mariadb-install-db", "--defaults-file=/srv/own-mariadb/my.cnf", "--skip-test-db"]
    host.run(["runuser", "-u", "mysql", "--", *install], timeout=180)
    host.run(["cp", "-p", f"{corpus.folder}/b.pem", "/srv/own-mariadb/data/pair.pem"])
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "start", "own-mariadb"])
    host.wait_until(lambda: ":3401" in host.run(["ss", "-ltn"]).stdout, "no second server")


def test_what_is_configured_is_what_handshakes_show(corpus: Corpus) -> None:
    set_up(corpus)
    scanned = scan(corpus.host, "mariadb")
    assert corpus.named(scanned) == [("a", ())]
    [binding] = scanned.bindings
    assert binding["listeners"] == ["127.0.0.1:3306/mysql"]
    assert [file["path"] for file in binding["files"]] == [
        f"{corpus.folder}/a.{end}" for end in ("crt", "key")
    ]
    assert (binding["config_file"], binding["line"]) == (f"{FOLDER}/90-tls.cnf", 2)
    assert (binding["problems"], scanned.warned()) == ([], [])
    assert scanned.contradicted() == {}
    [service] = scanned.result["server"]["services"]
    assert service["version"].startswith("10.11.")


def test_the_last_word_is_found_among_groups_includes_and_quotes(corpus: Corpus) -> None:
    corpus.write(f"{FOLDER}/92-off.cnf.bak", "[mysqld]\nssl-cert=%C/c.crt\n")
    corpus.write(
        "/etc/mysql/more/own.cnf", "[client]\nssl-cert=%C/c.crt\n[mysqld]\nbind-address = 127.0.0.1,::1\n"
    )
    set_up(
        corpus,
        "[mysqld]\r\nskip-ssl\nssl_cert=%C/b.crt # ssl_cert=%C/c.crt\n; ssl_key=%C/c.key\n"
        "[mariadb-10.11] # the series\n\tloose-ssl-cert = \"%C/a.crt\"\nssl-k='%C/a.key'#\n"
        "!include /etc/mysql/more/own.cnf\n[mysqld-8.0]\nssl-cert=%C/c.crt\n[mysqld_safe]\nssl-key=x\n",
    )
    try:
        scanned = scan(corpus.host, "mariadb")
    finally:
        corpus.host.run(["rm", "-rf", "/etc/mysql/more"])
    assert corpus.named(scanned) == [("a", ())]
    [binding] = scanned.bindings
    assert binding["line"] == 6
    assert binding["files"][1]["path"] == f"{corpus.folder}/a.key"
    assert set(binding["listeners"]) == {"127.0.0.1:3306/mysql", "[::1]:3306/mysql"}
    assert scanned.warned() == []
    assert scanned.contradicted() == {}


def test_a_file_that_everybody_can_write_is_read_as_the_server_sees_it(corpus: Corpus) -> None:
    corpus.write(f"{FOLDER}/91-world.cnf", "[mysqld]\nssl-cert=%C/b.crt\nssl-key=%C/b.key\n")
    corpus.host.run(["chmod", "666", f"{FOLDER}/91-world.cnf"])
    set_up(corpus)  # systemd shows /etc to MariaDB as read-only: then it does read such a file
    scanned = scan(corpus.host, "mariadb")
    assert corpus.named(scanned) == [("b", ())]
    assert any("everybody can write this file" in told for told in scanned.warned())
    assert scanned.contradicted() == {}


def test_the_command_line_wins_and_each_server_is_found(corpus: Corpus, authority: Authority) -> None:
    own_server(corpus)
    set_up(corpus)
    scanned = scan(corpus.host, "mariadb")
    assert sorted(corpus.named(scanned)) == [("a", ()), ("b", ())]
    own = next(one for one in scanned.bindings if one["config_file"].startswith("/srv/own"))
    assert own["listeners"] == ["[::]:3400/mysql", "[::]:3401/mysql"]
    assert [(file["path"], file["kind"]) for file in own["files"]] == [
        ("/srv/own-mariadb/data/pair.pem", "combined")
    ]
    assert scanned.contradicted() == {}
    new = authority.issue("b.test")
    outcome = deploy(corpus.host, own, new)
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", new.fingerprint), outcome
    assert scan(corpus.host, "mariadb").contradicted() == {}


def test_a_deploy_is_served_after_a_flush_without_a_restart(corpus: Corpus, authority: Authority) -> None:
    set_up(corpus)
    [binding] = scan(corpus.host, "mariadb").bindings
    before = process_of(corpus.host)
    new = authority.issue("a.test", key_type="rsa-2048")
    outcome = deploy(corpus.host, binding, new)
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", new.fingerprint), outcome
    assert process_of(corpus.host) == before
    assert scan(corpus.host, "mariadb").contradicted() == {}


def test_a_server_that_lets_nobody_in_is_restarted(corpus: Corpus, authority: Authority) -> None:
    set_up(corpus)
    host = corpus.host
    ways = host.run(["mariadb", "-NBe", "SHOW GRANTS FOR mysql@localhost"]).stdout
    assert "unix_socket" in ways
    say = ["mariadb", "--user=fixer", "--password=x", "-e"]
    host.run(["mariadb", "-e", "GRANT ALL ON *.* TO fixer@localhost IDENTIFIED BY 'x' WITH GRANT OPTION"])
    try:
        for name in ("root", "mysql"):
            host.run([*say, f"ALTER USER {name}@localhost IDENTIFIED BY 'secret'"])
        [binding] = scan(host, "mariadb").bindings
        before = process_of(host)
        new = authority.issue("a.test")
        outcome = deploy(host, binding, new)
        assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", new.fingerprint), outcome
        assert process_of(host) != before
    finally:
        for name in ("root", "mysql"):
            told = "IDENTIFIED VIA mysql_native_password USING 'invalid' OR unix_socket"
            host.run([*say, f"ALTER USER {name}@localhost {told}"])
        host.run(["mariadb", "-e", "DROP USER fixer@localhost"])


def test_a_certificate_that_mariadb_does_not_take_is_taken_back(corpus: Corpus, authority: Authority) -> None:
    set_up(corpus)
    old = corpus.host.read(f"{corpus.folder}/a.crt")
    corpus.host.run(["chown", "root:", f"{corpus.folder}/a.key"])
    scanned = scan(corpus.host, "mariadb")
    [binding] = scanned.bindings
    assert any("own account cannot read" in one["message"] for one in binding["problems"])
    outcome = deploy(corpus.host, binding, authority.issue("a.test"), verify_seconds=2)
    # MariaDB cannot read the old key again either: it still shows what it has in memory, and that counts
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "reload_failed"), outcome
    assert corpus.host.read(f"{corpus.folder}/a.crt") == old
    assert scan(corpus.host, "mariadb").contradicted() == {}


def test_a_configuration_that_is_broken_already_blocks_a_deploy(corpus: Corpus, authority: Authority) -> None:
    set_up(corpus)
    [binding] = scan(corpus.host, "mariadb").bindings
    corpus.write(f"{FOLDER}/99-broken.cnf", "[mysqld]\nno-such-thing = 1\n")
    outcome = deploy(corpus.host, binding, authority.issue("a.test"))
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")


def test_a_stopped_server_is_scanned_without_a_trace_and_gets_its_files(
    corpus: Corpus, authority: Authority
) -> None:
    corpus.write(f"{FOLDER}/90-tls.cnf", TLS)
    listing = ["find", DATA, "/run/mysqld", "/var/log/mysql", "-printf", "%p %T@ %C@ %s\\n"]
    before = corpus.host.run(listing, check=False).stdout
    [binding] = scan(corpus.host, "mariadb").bindings
    assert corpus.host.run(listing, check=False).stdout == before
    assert DATA in before
    outcome = deploy(corpus.host, binding, authority.issue("a.test"))
    assert outcome["state"] == "staged", outcome
    assert corpus.host.pids("mariadbd") == []


def test_files_that_the_server_refuses_are_read_as_far_as_they_go(corpus: Corpus) -> None:
    set_up(corpus)
    corpus.write(f"{FOLDER}/99-broken.cnf", "port = 3307\n[mysqld]\nport = 3308\n")
    assert scan(corpus.host, "mariadb").contradicted() == {}
    corpus.write("/etc/my.cnf", "port = 3307\n[mysqld]\nport = 3308\n")
    scanned = scan(corpus.host, "mariadb")
    assert corpus.named(scanned) == [("a", ())]
    assert any("an option before any group" in told for told in scanned.warned())
    assert any("refuses the files" in told for told in scanned.warned())
    assert scanned.contradicted() == {}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("skip-networking\n", "the server listens on no address"),
        ("skip-ssl\n", "TLS is off: this certificate is shown to nobody"),
    ],
)
def test_what_nobody_is_shown_is_not_claimed(corpus: Corpus, more: str, told: str) -> None:
    set_up(corpus, TLS + more)
    scanned = scan(corpus.host, "mariadb")
    assert [one["listeners"] for one in scanned.bindings] == [[]]
    assert scanned.warned() == [told]


def test_without_a_certificate_there_is_nothing_to_tell(corpus: Corpus) -> None:
    set_up(corpus, "[mysqld]\n")
    scanned = scan(corpus.host, "mariadb")
    assert (scanned.bindings, scanned.warned()) == ([], [])


def test_without_rights_it_says_what_it_could_not_read(corpus: Corpus) -> None:
    corpus.write(f"{FOLDER}/95-secret.cnf", "[mysqld]\nport = 3306\n")
    corpus.host.run(["chmod", "600", f"{FOLDER}/95-secret.cnf"])
    corpus.host.run(["chown", "mysql", f"{FOLDER}/95-secret.cnf"])
    set_up(corpus)
    scanned = scan(corpus.host, "mariadb", prefix=tuple(UNPRIVILEGED))
    assert corpus.named(scanned) == [("a", ())]
    assert any("95-secret.cnf is not read" in told for told in scanned.warned())
    assert "unreadable" in {one["kind"] for one in scanned.bindings[0]["problems"]}


def test_where_it_is_not_installed_there_is_nothing(others: LabHost) -> None:
    scanned = scan(others, "mariadb")
    assert (scanned.bindings, scanned.result["server"]["services"], scanned.warned()) == ([], [], [])
