"""nginx with all that peers' scanners stumble over; its handshakes are the judge of what the scan says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import Corpus, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

NAMES = (
    *("http", "ec", "tab", "second", "inner", "nested", "map-a", "map-b", "map-w", "map-default"),
    *("stream", "imap", "pop", "blank", "after", "mixed", "unix", "dead"),
)

MAIN = r"""
load_module modules/ngx_stream_module.so;
load_module modules/ngx_mail_module.so;
user www-data;
pid /run/nginx.pid;
events {}
http {
  ssl_certificate %C/http.crt; # what servers without their own show
  ssl_certificate_key %C/http.key;
  map $ssl_server_name $pair {
    hostnames;
    default map-default;
    MAP-A.test map-a; "map-b.test" "map-b";
    *.map-w.test map-w;
    include corpus/*.map;
  }
  map $host $ignored { map-a.test gone; }
  include	corpus/tab.conf;
  include corpus/first.conf; include corpus/second.conf;
  server { listen 8443 ssl default_server; server_name inherits.test; }
  server { include corpus/inner.conf; listen 8443 ssl; server_name inner.test; }
  server { listen 8443 ssl; server_name maps.test map-a.test map-b.test *.map-w.test other.test incl.test;
    ssl_certificate %C/$pair.crt; ssl_certificate_key %C/${pair}.key; }
  server { listen 8443 ssl; server_name two.test;
    ssl_certificate %C/rsa.crt; ssl_certificate_key %C/rsa.key;
    ssl_certificate %C/ec.crt; ssl_certificate_key %C/ec.key; }
  server { listen 8443 ssl; server_name MiXed.TEST;
    #ssl_certificate /gone/commented.crt;
    ssl_certificate "%C/mixed.crt"; ssl_certificate_key '%C/mixed.key'; }
  server { listen 8443 ssl; server_name blank.test;
    ssl_certificate "%C/sp ace/blank \"x\".crt"; ssl_certificate_key '%C/sp ace/blank.key'; }
  server { listen 8443 ssl; server_name data.test;
    ssl_certificate %C/ec.crt; ssl_certificate_key data:$http_x; }
  server { listen unix:/run/corpus-tls.sock ssl; server_name unix.test;
    ssl_certificate %C/unix.crt; ssl_certificate_key %C/unix.key; }
  server { listen 8443; listen [::]:8446 ssl ipv6only=on; server_name ~^(.+\.)?re\.test$ star.*; }
  server { listen 8443 ssl; server_name after.test;
    ssl_certificate %C/after.crt; ssl_certificate_key %C/after.key; }
}
stream {
  server { listen 127.0.0.1:9443 ssl; ssl_certificate %C/stream.crt; ssl_certificate_key %C/stream.key;
    return "ok"; }
  server { listen 127.0.0.1:9444; proxy_pass 127.0.0.1:9443; }
}
mail {
  server_name mail.test;
  auth_http 127.0.0.1:1/auth;
  ssl_certificate %C/imap.crt; ssl_certificate_key %C/imap.key;
  starttls on;
  server { listen 127.0.0.1:993 ssl; protocol imap; }
  server { listen 127.0.0.1:143; protocol imap; }
  server { listen 127.0.0.1:1110; protocol pop3;
    ssl_certificate %C/pop.crt; ssl_certificate_key %C/pop.key; }
  server { listen 127.0.0.1:1143; protocol imap; starttls off; }
}
"""
SERVER = """server { listen 8443 ssl; server_name %s.test;
  ssl_certificate %%C/%s.crt; ssl_certificate_key %%C/%s.key; }
"""


def server(name: str) -> str:
    """A server with a certificate of its own."""
    return SERVER % (name, name, name)


@pytest.fixture(scope="module")
def corpus(servers: LabHost, corpus_authority: Authority) -> Iterator[Corpus]:
    """An nginx with all of it."""
    corpus = Corpus(servers, corpus_authority)
    corpus.certificates(*NAMES)
    corpus.certificates("rsa", key_type="rsa-2048")
    folder = corpus.folder
    for name in ("map-a", "map-b", "map-w", "map-default", "ec"):  # the workers read these at each handshake
        servers.run(["chmod", "644", f"{folder}/{name}.key"])
    servers.run(["mkdir", f"{folder}/sp ace"])
    servers.run(["cp", f"{folder}/blank.crt", f'{folder}/sp ace/blank "x".crt'])
    servers.run(["cp", f"{folder}/blank.key", f"{folder}/sp ace/blank.key"])
    corpus.write("/etc/nginx/nginx.conf", MAIN)
    corpus.write("/etc/nginx/corpus/tab.conf", server("tab"))
    corpus.write("/etc/nginx/corpus/first.conf", "include corpus/nested.conf; # and a comment\n")
    corpus.write("/etc/nginx/corpus/nested.conf", server("nested"))
    corpus.write("/etc/nginx/corpus/second.conf", server("second"))
    inner = "ssl_certificate %C/inner.crt; ssl_certificate_key %C/inner.key;\n"
    corpus.write("/etc/nginx/corpus/inner.conf", inner)
    corpus.write("/etc/nginx/corpus/more.map", "incl.test map-b;\n")
    corpus.write("/etc/nginx/corpus/dead.conf", server("dead"))
    corpus.write("/etc/nginx/corpus/tab.conf.save", server("dead"))
    try:
        servers.run(["nginx", "-t"])
        servers.run(["systemctl", "restart", "nginx"])
        yield corpus
    finally:
        servers.run(["systemctl", "stop", "nginx"], check=False)
        corpus.put_back()
        servers.run(["rm", "-rf", "/etc/nginx/corpus"])


def test_every_claim_is_what_a_handshake_shows(corpus: Corpus) -> None:
    scanned = scan(corpus.host, "nginx")
    assert scanned.contradicted() == {}
    found = {certificate for certificate, _names in corpus.named(scanned)}
    assert found == {*NAMES, "rsa"} - {"dead"}


def test_each_name_has_the_certificate_that_nginx_chooses(corpus: Corpus) -> None:
    named = corpus.named(scan(corpus.host, "nginx"))
    by_name: dict[str, set[str]] = {}
    for certificate, names in named:
        for name in names:
            by_name.setdefault(name, set()).add(certificate)
    for name in ("tab", "second", "nested", "inner", "mixed", "blank", "after"):
        assert by_name[f"{name}.test"] == {name}
    assert by_name["two.test"] == {"rsa", "ec"}
    assert by_name["inherits.test"] == {"http"}
    assert by_name["~^(.+\\.)?re\\.test$"] == {"http"}


def test_a_map_chooses_by_name_by_wildcard_and_by_its_default(corpus: Corpus) -> None:
    named = dict(corpus.named(scan(corpus.host, "nginx")))
    assert named["map-a"] == ("map-a.test",)
    assert set(named["map-b"]) == {"map-b.test", "incl.test"}
    assert named["map-w"] == ("*.map-w.test",)
    assert set(named["map-default"]) == {"maps.test", "other.test"}


def test_mail_and_stream_are_read_with_their_protocols(corpus: Corpus) -> None:
    places = {
        corpus.fingerprints[one["certificate"]]: (one["names"], sorted(one["listeners"]))
        for one in scan(corpus.host, "nginx").bindings
        if one["certificate"]
    }
    assert places["stream"] == ([], ["127.0.0.1:9443"])
    assert places["pop"] == ([], ["127.0.0.1:1110/pop3"])
    assert places["unix"] == (["unix.test"], [])
    imap = [
        one["listeners"] for one in scan(corpus.host).bindings if one["certificate"] in corpus.fingerprints
    ]
    assert ["127.0.0.1:993"] in imap
    assert ["127.0.0.1:143/imap"] in imap
    assert not any("1143" in listener for listeners in imap for listener in listeners)


def test_what_is_no_file_is_said_with_its_place(corpus: Corpus) -> None:
    scanned = scan(corpus.host, "nginx")
    (data,) = (one for one in scanned.bindings if one["names"] == ["data.test"])
    assert data["certificate"] is None
    assert [problem["kind"] for problem in data["problems"]] == ["unresolved"]
    assert (data["config_file"], data["line"] > 0) == ("/etc/nginx/nginx.conf", True)
    assert "only a local socket is listened to: no handshake is possible" in scanned.warned()
    read = {(one["config_file"], *one["names"]) for one in scanned.bindings}
    assert not any("dead" in text for texts in read for text in texts)


def test_what_nginx_itself_prints_leads_to_the_same(corpus: Corpus) -> None:
    read = scan(corpus.host, "nginx").bindings
    large = "/etc/nginx/corpus/large.conf"
    main = corpus.host.read("/etc/nginx/nginx.conf")
    try:
        corpus.host.write(large, "# nothing\n" * 900_000)  # larger than what we read: nginx -T is asked
        corpus.host.write("/etc/nginx/nginx.conf", main.replace("http {", f"http {{ include {large};"))
        asked = scan(corpus.host, "nginx")
    finally:
        corpus.host.write("/etc/nginx/nginx.conf", main)
        corpus.host.run(["rm", large])
    assert asked.bindings == read
    assert not any("nginx -T" in message or "large" in message for message in asked.warned())


def test_a_certificate_that_a_map_chooses_is_deployed_where_it_lies(
    corpus: Corpus, corpus_authority: Authority
) -> None:
    (binding,) = (one for one in scan(corpus.host, "nginx").bindings if one["names"] == ["map-a.test"])
    issued = corpus_authority.issue("map-a.test", "*.map-a.test")
    outcome = deploy(corpus.host, binding, issued)
    corpus.fingerprints[issued.fingerprint] = "map-a"
    assert (outcome["state"], outcome["reason"]) == ("deployed", "verified"), outcome
    assert scan(corpus.host, "nginx").contradicted() == {}


@pytest.fixture
def masters(servers: LabHost, corpus_authority: Authority) -> Iterator[Corpus]:
    """Masters that nobody's service has started: own paths, a prefix, and a copy in OpenResty's place."""
    corpus = Corpus(servers, corpus_authority, "/srv/masters")
    corpus.certificates("own", "prefix", "resty")
    started = (
        ("/opt/my-conf b c/nginx.conf", ["/usr/sbin/nginx", "-c"], "own", 8451),
        ("/srv/profile.d/conf/own.conf", ["/usr/sbin/nginx", "-p", "/srv/profile.d/", "-c"], "prefix", 8452),
        (
            "/usr/local/openresty/nginx/conf/nginx.conf",
            ["/usr/local/openresty/nginx/sbin/nginx", "-p", "/usr/local/openresty/nginx/", "-c"],
            "resty",
            8453,
        ),
    )
    servers.run(["mkdir", "-p", "/usr/local/openresty/nginx/sbin"])
    servers.run(["cp", "/usr/sbin/nginx", "/usr/local/openresty/nginx/sbin/nginx"])
    for path, command, name, port in started:
        folder = path.rpartition("/")[0]
        pair = f"ssl_certificate {name}.crt; ssl_certificate_key {name}.key;"
        text = f"pid /run/{name}.pid; error_log /run/{name}.log; events {{}} http {{ include *.inc; }}"
        corpus.write(path, text)
        corpus.write(f"{folder}/a.inc", f"server {{ listen {port} ssl; server_name {name}.test; {pair} }}")
        for kind in ("crt", "key"):
            servers.run(["cp", f"/srv/masters/{name}.{kind}", f"{folder}/{name}.{kind}"])
        value = path.removeprefix("/srv/profile.d/") if "-p" in command and name == "prefix" else path
        servers.run(["sh", "-c", '"$@" >/dev/null 2>&1', "sh", *command, value])
    yield corpus
    end = "kill $(cat {0}); while [ -e {0} ]; do sleep 0.05; done"
    for _path, _command, name, _port in started:
        servers.run(["sh", "-c", end.format(f"/run/{name}.pid")])
    corpus.put_back()
    servers.run(["rm", "-rf", "/opt/my-conf b c", "/srv/profile.d", "/usr/local/openresty"])


def test_every_master_is_read_wherever_its_configuration_lies(masters: Corpus) -> None:
    scanned = scan(masters.host, "nginx")
    assert scanned.contradicted() == {}
    own = [one for one in scanned.bindings if one["certificate"] in masters.fingerprints]
    places = {(one["config_file"], one["listeners"][0]) for one in own}
    assert places == {
        ("/opt/my-conf b c/a.inc", "*:8451"),
        ("/srv/profile.d/conf/a.inc", "*:8452"),
        ("/usr/local/openresty/nginx/conf/a.inc", "*:8453"),
    }


def test_the_panels_layouts_are_read_where_they_are_named(
    servers: LabHost, corpus_authority: Authority
) -> None:
    panel = Corpus(servers, corpus_authority, "/srv/panel")
    panel.certificates("bt", "one", "free")
    panel.write(
        "/www/server/nginx/conf/nginx.conf",
        "events {} http { include /www/server/panel/vhost/nginx/*.conf; include proxy.conf; }",
    )
    panel.write("/www/server/nginx/conf/proxy.conf", "proxy_buffers 4 64k;")
    panel.write("/www/server/panel/vhost/nginx/bt.test.conf", server("bt"))
    panel.write("/opt/1panel/apps/openresty/openresty/conf/conf.d/one.test.conf", server("one"))
    panel.write("/opt/1panel/apps/openresty/openresty/conf/conf.d/notes.txt", server("free"))
    paths = [
        "/www/server/nginx/conf/nginx.conf",
        "/opt/1panel/apps/openresty/openresty/conf/conf.d",
        "/gone/*",
    ]
    try:
        scanned = scan(servers, "nginx", paths={"nginx": paths})
        without = panel.named(scan(servers, "nginx"))
    finally:
        panel.put_back()
        servers.run(["rm", "-rf", "/www/server", "/opt/1panel"])
    assert panel.named(scanned) == [("bt", ("bt.test",)), ("one", ("one.test",))]
    assert without == []
    assert "nothing is found at /gone/*" in scanned.warned()
    assert {one["config_file"] for one in scanned.bindings} >= {"/www/server/panel/vhost/nginx/bt.test.conf"}
