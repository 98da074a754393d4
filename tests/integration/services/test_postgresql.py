"""PostgreSQL as administrators set it up: clusters of Debian's, others, and who has the last word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

CONFIG = "/etc/postgresql/15/main"
DATA = "/var/lib/postgresql/15/main"
UNIT = "postgresql@15-main"
BIN = "/usr/lib/postgresql/15/bin"
OWN_UNIT = """[Service]
User=postgres
ExecStart={bin}/postgres -D /srv/own/data --ssl_cert_file=%C/b.crt -c ssl_key_file=%C/b.key -p 5440
"""


@pytest.fixture
def corpus(servers: LabHost, authority: Authority) -> Iterator[Corpus]:
    """Certificates of PostgreSQL's account; afterwards the cluster is stopped and as it was."""
    found = Corpus(servers, authority, "/srv/postgresql-corpus")
    found.certificates("a", "b", "c")
    servers.run(["chown", "-R", "postgres:", found.folder])
    yield found
    servers.run(["systemctl", "stop", UNIT, "own-postgresql.service"], check=False)
    servers.run(["rm", "-rf", "/srv/own", f"{CONFIG}/more"])
    found.put_back()
    servers.run(["systemctl", "daemon-reload"])
    servers.run(["systemctl", "reset-failed", UNIT], check=False)


def set_up(corpus: Corpus, text: str) -> None:
    """Starts Debian's own cluster with a further file of configuration."""
    corpus.write(f"{CONFIG}/conf.d/tls.conf", text)
    corpus.host.run(["systemctl", "start", UNIT])


def own_cluster(corpus: Corpus) -> None:
    """Starts a cluster in a place of its own, with a unit of its own that knows no reload."""
    owner = ["runuser", "-u", "postgres", "--"]
    corpus.host.run(["install", "-d", "-o", "postgres", "-m", "700", "/srv/own"])
    corpus.host.run([*owner, f"{BIN}/initdb", "--no-sync", "-D", "/srv/own/data"])
    corpus.write("/etc/systemd/system/own-postgresql.service", OWN_UNIT.format(bin=BIN))
    text = "ssl = y\nssl_cert_file = 'nowhere.crt'\nport=5555\nunix_socket_directories = ''\n"
    corpus.host.run(["tee", "-a", "/srv/own/data/postgresql.conf"], input=text)
    corpus.host.run(["systemctl", "daemon-reload"])
    corpus.host.run(["systemctl", "start", "own-postgresql"])
    corpus.host.wait_until(lambda: ":5440" in corpus.host.run(["ss", "-ltn"]).stdout, "no cluster")


def files(binding: dict[str, object]) -> list[str]:
    """The paths of a binding."""
    found = binding["files"]
    assert isinstance(found, list)
    return [file["path"] for file in found]


def test_what_is_configured_is_what_handshakes_show(corpus: Corpus) -> None:
    set_up(corpus, "ssl = on\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/a.key'\n")
    scanned = scan(corpus.host, "postgresql")
    assert corpus.named(scanned) == [("a", ())]
    [binding] = scanned.bindings
    assert binding["listeners"] == ["127.0.0.1:5432/postgres"]
    assert files(binding) == [f"{corpus.folder}/a.crt", f"{corpus.folder}/a.key"]
    assert (binding["config_file"], binding["line"]) == (f"{CONFIG}/conf.d/tls.conf", 2)
    assert (binding["problems"], scanned.warned()) == ([], [])
    assert scanned.contradicted() == {}
    [service] = scanned.result["server"]["services"]
    assert service["version"].startswith("15.")


def test_the_last_word_is_found_among_includes_quotes_and_escapes(corpus: Corpus) -> None:
    corpus.write(f"{CONFIG}/conf.d/.hidden.conf", "ssl_cert_file = '%C/c.crt'\n")
    corpus.write(f"{CONFIG}/conf.d/zz.conf.off", "ssl_cert_file = '%C/c.crt'\n")
    corpus.write(f"{CONFIG}/more/last.conf", "SSL_Cert_File '%C/\\141.crt'# no space\nlisten_addresses='*'")
    corpus.host.run(["ln", "-sf", f"{corpus.folder}/a.key", f"{DATA}/it's.key"])
    try:
        set_up(
            corpus,
            "\tssl tru\r\nssl_cert_file = '%C/b.crt' # ssl_cert_file = '%C/c.crt'\n"
            "ssl_key_file='it''s.key'\ninclude_if_exists = 'nowhere.conf'\ninclude '../more/last.conf'\n",
        )
        scanned = scan(corpus.host, "postgresql")
    finally:
        corpus.host.run(["rm", "-f", f"{DATA}/it's.key"])
    assert corpus.named(scanned) == [("a", ())]
    [binding] = scanned.bindings
    assert files(binding) == [f"{corpus.folder}/a.crt", f"{DATA}/it's.key"]
    assert (binding["config_file"], binding["line"]) == (f"{CONFIG}/more/last.conf", 1)
    assert "*:5432/postgres" in binding["listeners"]
    assert scanned.contradicted() == {}


def test_what_alter_system_said_wins_over_the_files(corpus: Corpus) -> None:
    before = corpus.host.read_bytes(f"{DATA}/postgresql.auto.conf")
    set_up(corpus, "ssl = off\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/b.key'\n")
    owner = ["runuser", "-u", "postgres", "--", "psql", "-X", "-c"]
    try:
        for told in ("ssl = on", f"ssl_cert_file = '{corpus.folder}/b.crt'"):
            corpus.host.run([*owner, f"ALTER SYSTEM SET {told}"])
        corpus.host.run(["systemctl", "reload", UNIT])
        corpus.host.wait_until(lambda: not scan(corpus.host, "postgresql").contradicted(), "not reloaded")
        scanned = scan(corpus.host, "postgresql")
    finally:
        corpus.host.write(f"{DATA}/postgresql.auto.conf", before)
    assert corpus.named(scanned) == [("b", ())]
    assert scanned.bindings[0]["config_file"] == f"{DATA}/postgresql.auto.conf"


def test_the_command_line_wins_and_each_cluster_is_found(corpus: Corpus, authority: Authority) -> None:
    own_cluster(corpus)
    set_up(corpus, "ssl = on\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/a.key'\n")
    scanned = scan(corpus.host, "postgresql")
    assert sorted(corpus.named(scanned)) == [("a", ()), ("b", ())]
    listeners = {binding["listeners"][0] for binding in scanned.bindings}
    assert listeners == {"127.0.0.1:5432/postgres", "127.0.0.1:5440/postgres"}
    assert scanned.contradicted() == {}
    own = next(one for one in scanned.bindings if "127.0.0.1:5440/postgres" in one["listeners"])
    new = authority.issue("b.test")
    outcome = deploy(corpus.host, own, new)
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", new.fingerprint), outcome
    again = scan(corpus.host, "postgresql")
    assert again.contradicted() == {}
    assert {one["certificate"] for one in again.bindings} >= {new.fingerprint}


def test_a_cluster_that_does_not_run_is_named_and_not_claimed(corpus: Corpus) -> None:
    own_cluster(corpus)
    corpus.write(f"{CONFIG}/conf.d/tls.conf", "ssl=1\nssl_cert_file='%C/a.crt'\nssl_key_file='%C/a.key'\n")
    scanned = scan(corpus.host, "postgresql")
    stopped = next(one for one in scanned.bindings if one["config_file"].startswith(CONFIG))
    assert stopped["listeners"] == []
    assert "this cluster does not run, while others do" in scanned.warned()
    assert scanned.contradicted() == {}


def test_a_stopped_server_gets_its_files_and_stays_stopped(corpus: Corpus, authority: Authority) -> None:
    corpus.write(f"{CONFIG}/conf.d/tls.conf", "ssl=1\nssl_cert_file='%C/a.crt'\nssl_key_file='%C/a.key'\n")
    [binding] = scan(corpus.host, "postgresql").bindings
    outcome = deploy(corpus.host, binding, authority.issue("a.test"))
    assert outcome["state"] == "staged", outcome
    assert corpus.host.pids("postgres") == []


def test_without_tls_nothing_is_claimed(corpus: Corpus) -> None:
    set_up(corpus, "ssl = off\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/a.key'\n")
    scanned = scan(corpus.host, "postgresql")
    assert [one["listeners"] for one in scanned.bindings] == [[]]
    assert scanned.warned() == ["ssl is off: this certificate is shown to nobody"]


def test_a_deploy_is_served_after_a_reload_without_an_end_of_sessions(
    corpus: Corpus, authority: Authority
) -> None:
    set_up(corpus, "ssl = on\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/a.key'\n")
    [binding] = scan(corpus.host, "postgresql").bindings
    before = corpus.host.run(["systemctl", "show", "-P", "MainPID", UNIT]).stdout
    new = authority.issue("a.test", key_type="rsa-2048")
    outcome = deploy(corpus.host, binding, new)
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", new.fingerprint), outcome
    assert corpus.host.run(["systemctl", "show", "-P", "MainPID", UNIT]).stdout == before
    assert scan(corpus.host, "postgresql").contradicted() == {}
    facts = corpus.host.run(["stat", "-c", "%U %a", f"{corpus.folder}/a.key"]).stdout
    assert facts == "postgres 600\n"


def test_a_certificate_that_postgresql_does_not_take_is_seen_and_taken_back(
    corpus: Corpus, authority: Authority
) -> None:
    set_up(corpus, "ssl = on\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/a.key'\n")
    old = corpus.host.read(f"{corpus.folder}/a.crt")
    corpus.host.run(["chmod", "644", f"{corpus.folder}/a.key"])
    scanned = scan(corpus.host, "postgresql")
    [binding] = scanned.bindings
    assert any("must be 0600" in one["message"] for one in binding["problems"])
    outcome = deploy(corpus.host, binding, authority.issue("a.test"), verify_seconds=2)
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "not_served"), outcome
    assert corpus.host.read(f"{corpus.folder}/a.crt") == old
    assert scan(corpus.host, "postgresql").contradicted() == {}


def test_a_configuration_that_is_broken_already_blocks_a_deploy(corpus: Corpus, authority: Authority) -> None:
    set_up(corpus, "ssl = on\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/a.key'\n")
    [binding] = scan(corpus.host, "postgresql").bindings
    corpus.write(f"{CONFIG}/conf.d/zz.conf", "port = \n")
    scanned = scan(corpus.host, "postgresql")
    assert corpus.named(scanned) == [("a", ())]
    assert any(told.startswith("PostgreSQL refuses the configuration") for told in scanned.warned())
    outcome = deploy(corpus.host, binding, authority.issue("a.test"))
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")
    assert "syntax error" in outcome["message"]


def test_without_rights_it_says_what_it_could_not_read(corpus: Corpus) -> None:
    set_up(corpus, "ssl = on\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/a.key'\n")
    scanned = scan(corpus.host, "postgresql", prefix=tuple(UNPRIVILEGED))
    assert corpus.named(scanned) == [("a", ())]
    assert any(f"{DATA}/postgresql.auto.conf" in told for told in scanned.warned())
    assert "unreadable" in {one["kind"] for one in scanned.bindings[0]["problems"]}


def test_a_key_that_the_servers_account_cannot_reach_is_a_problem(corpus: Corpus) -> None:
    set_up(corpus, "ssl = on\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/a.key'\n")
    corpus.host.run(["chown", "root:root", f"{corpus.folder}/a.key"])
    [binding] = scan(corpus.host, "postgresql").bindings
    assert any("the server's own account cannot read it" in one["message"] for one in binding["problems"])


def test_where_it_is_not_installed_there_is_nothing(others: LabHost) -> None:
    scanned = scan(others, "postgresql")
    assert (scanned.bindings, scanned.result["server"]["services"], scanned.warned()) == ([], [], [])
