"""The servers are the judge: what the scan claims is what handshakes show, whatever is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.lab import Lab

NGINX = r"""
map $ssl_server_name $unused { default "}"; "~^foo{2}$" 1; }
server { listen 8443 ssl default_server; server_name def.test _ ""; ssl_certificate %C/def.crt;
  ssl_certificate_key %C/def.key; location ~ "^/a{2}\}" { return 200 "};"; } } # server {
server { listen 8443; server_name plain.test;
  ssl_certificate %C/plain.crt; ssl_certificate_key %C/plain.key; }
server{listen 8443 ssl;server_name pair.test;ssl_certificate %C/rsa.crt;ssl_certificate %C/ec.crt;
ssl_certificate_key %C/rsa.key;ssl_certificate_key %C/ec.key;}
server {	include	snippets/corpus[0-9].conf; listen 8443 ssl; listen [::1]:8444 ssl;
  server_name Snip.Test .dot.test; set $foo "a;b{c}"; if ($http_user_agent ~* "x{1}") { return 403; } }
server { listen 8443 ssl; server_name *.sni.test; ssl_certificate %C/by-$ssl_server_name/tls.crt;
  ssl_certificate_key %C/by-${ssl_server_name}/tls.key; }
server { listen 8443 ssl; server_name dup.test plain.test;
  ssl_certificate %C/dup.crt; ssl_certificate_key %C/dup.key; }
server { listen 8443 ssl; server_name dup.test;
  ssl_certificate %C/shadow.crt; ssl_certificate_key %C/shadow.key; }
server { listen 127.0.0.1:8500-8501 ssl; listen unix:/run/corpus.sock ssl; server_name range.test;
  ssl_certificate "%C/../corpus/range.crt"; ssl_certificate_key '%C/range.key'; }
server { listen 8443 ssl; server_name refused.test; ssl_reject_handshake on; }
server { listen 127.0.0.1:8443 ssl; server_name loop.test;
  ssl_certificate %C/loop.crt; ssl_certificate_key %C/loop.key; }
# configuration file /etc/passwd:
server { listen 8443 ssl; server_name after.test;
  ssl_certificate %C/after.crt; ssl_certificate_key %C/after.key; }
"""

APACHE = r"""
Define corpus %C
Listen 8443
Listen 127.0.0.1:8444
Listen [::1]:8445
<VirtualHost _default_:8443>
  ServerName def.test:8443
  SSLEngine on
  SSLCertificateFile "${corpus}/def.crt"
  SSLCertificateKeyFile '${corpus}/def.key'
</VirtualHost>
<VirtualHost *:8443 127.0.0.1:8444 [::1]:8445>
  ServerName https://one.test
  ServerAlias one2.test "one3.test" *.one.test
  SSLEngine on
  SSLCertificateFile ${corpus}/one.pem
  # comment \
  SSLCertificateFile /nope
</VirtualHost>
<VirtualHost *:8443>
  ServerName a.one.test
  ServerAlias two.test
  sslengine ON
  SSLCERTIFICATEFILE  \
     ${corpus}/two.crt
  SSLCertificateKeyFile ${corpus}/two.key
</VirtualHost>
<IfModule mod_nothere.c>
  <VirtualHost *:8443>
    ServerName gone.test
    SSLEngine on
    SSLCertificateFile /gone
  </VirtualHost>
</IfModule>
<IfVersion >= 2.4>
  <IfDefine !NOTHING>
    <VirtualHost *:8443>
      ServerName pair.test
      SSLEngine on
      SSLCertificateFile ${corpus}/rsa.crt
      SSLCertificateFile ${corpus}/ec.crt
      SSLCertificateKeyFile ${corpus}/rsa.key
      SSLCertificateKeyFile ${corpus}/ec.key
    </VirtualHost>
  </IfDefine>
</IfVersion>
<VirtualHost *:8443>
  ServerName inc.test
  Include conf-available/corpus-*.inc
</VirtualHost>
<VirtualHost *:7777>
  ServerName nolisten.test
  SSLEngine on
  SSLCertificateFile ${corpus}/nolisten.pem
</VirtualHost>
"""

HAPROXY = r"""
frontend corpus
  bind 127.0.0.1:9443,[::1]:9444 ssl crt "%C/one.pem" crt %C/dir/ alpn h2
  bind 127.0.0.1:9500-9501 name crt ssl crt '%C/sp ace.pem'
  bind 127.0.0.1:9447 ssl crt-list %C/list
  bind 127.0.0.1:9448 ssl crt %C/bundle.pem
  bind 127.0.0.1:9449 ssl crt %C/apart.crt strict-sni
  bind /run/haproxy/corpus.sock ssl crt %C/one.pem
.if version_atleast(2.0) && !defined(NOTHING)
  bind 127.0.0.1:"${CORPUS_PORT-9450}" ssl crt %C/cond.pem
.elif feature(OPENSSL)
  bind 127.0.0.1:9451 ssl crt /gone.pem
.endif
"""


@pytest.fixture
def nginx(small_lab: Lab, corpus_authority: Authority) -> Iterator[Corpus]:
    """An nginx that serves the corpus beside its own site."""
    corpus = Corpus(small_lab.hosts["web1"], corpus_authority)
    corpus.certificates(
        "def", "plain", "ec", "snip", "a.sni", "b.sni", "dup", "shadow", "range", "loop", "after", "other"
    )
    corpus.certificates("rsa", key_type="rsa-2048")
    for name in ("a.sni", "b.sni"):  # read by the workers, at each handshake
        by_name = f"{corpus.folder}/by-{name}.test"
        corpus.host.run(["mkdir", by_name])
        for kind in ("crt", "key"):
            corpus.host.run(
                ["install", "-m", "644", f"{corpus.folder}/{name}.{kind}", f"{by_name}/tls.{kind}"]
            )
    corpus.write("/etc/nginx/conf.d/corpus.conf", NGINX)
    corpus.write(
        "/etc/nginx/snippets/corpus1.conf",
        "# c\nssl_certificate\n  %C/snip.crt;\nssl_certificate_key %C/snip.key;\n",
    )
    corpus.host.run(["systemctl", "reload", "nginx"])
    yield corpus
    corpus.put_back()
    corpus.host.run(["systemctl", "reload", "nginx"])


def test_nginx(nginx: Corpus) -> None:
    scanned = scan(nginx.host)
    assert scanned.contradicted() == {}
    named = nginx.named(scanned)
    assert ("snip", ("snip.test", "dot.test", "*.dot.test")) in named
    assert {certificate for certificate, names in named if names == ("pair.test",)} == {"rsa", "ec"}
    assert {certificate for certificate, names in named if names == ("a.sni.test",)} == {"a.sni"}
    assert ("after", ("after.test",)) in named
    assert "refused.test" not in {name for _certificate, names in named for name in names}
    place = {
        (one["config_file"], one["line"]) for one in scanned.bindings if one["names"][:1] == ["snip.test"]
    }
    assert place == {("/etc/nginx/snippets/corpus1.conf", 2)}
    assert [one["listeners"] for one in scanned.bindings if one["names"] == ["loop.test"]] == [
        ["127.0.0.1:8443"]
    ]
    assert "no handshake reaches this server: others have its names" in scanned.warned()


def test_nginx_read_from_its_files_says_the_same_as_its_own_dump(nginx: Corpus) -> None:
    asked = scan(nginx.host, "nginx", handshakes=False).result
    nginx.host.run(["systemctl", "stop", "nginx"])
    try:
        read = scan(nginx.host, "nginx", handshakes=False).result
    finally:
        nginx.host.run(["systemctl", "start", "nginx"])
    assert read["bindings"] == asked["bindings"]
    assert read["certificates"] == asked["certificates"]
    assert [service["running"] for service in read["server"]["services"]] == [False]


def test_apache(small_lab: Lab, corpus_authority: Authority) -> None:
    corpus = Corpus(small_lab.hosts["apache1"], corpus_authority)
    corpus.certificates("def", "one", "two", "ec", "inc", "nolisten")
    corpus.certificates("rsa", key_type="rsa-2048")
    corpus.write("/etc/apache2/conf-available/corpus-1.inc", "SSLEngine on\nSSLCertificateFile %C/inc.pem\n")
    corpus.write("/etc/apache2/sites-enabled/corpus.conf", APACHE)
    try:
        corpus.host.run(["systemctl", "reload", "apache2"])
        corpus.host.wait_until(lambda: scan(corpus.host).contradicted() == {}, "the scan is contradicted", 60)
        scanned = scan(corpus.host)
    finally:
        corpus.put_back()
        corpus.host.run(["systemctl", "reload", "apache2"])
    named = corpus.named(scanned)
    assert {certificate for certificate, names in named if names == ("pair.test",)} == {"rsa", "ec"}
    assert ("two", ("two.test",)) in named
    assert ("inc", ("inc.test",)) in named
    assert [one["listeners"] for one in scanned.bindings if one["names"] == ["nolisten.test"]] == [[]]
    assert not any("understand" in message or "does not have" in message for message in scanned.warned())


def test_haproxy(small_lab: Lab, corpus_authority: Authority) -> None:
    corpus = Corpus(small_lab.hosts["haproxy1"], corpus_authority)
    host, folder = corpus.host, corpus.folder
    corpus.certificates("one", "two", "three", "cond", "list1", "list2", "apart", "bundle")
    corpus.certificates("rsa", key_type="rsa-2048")
    host.run(["mkdir", f"{folder}/dir", f"{folder}/dir/sub"])
    for source, target in (
        ("two.crt", "dir/a.pem"),
        ("two.key", "dir/a.pem.key"),
        ("three.pem", "dir/.hidden"),
        ("three.pem", "dir/sub/x.pem"),
        ("one.crt", "dir/x.issuer"),
        ("three.pem", "sp ace.pem"),
        ("rsa.pem", "bundle.pem.rsa"),
        ("apart.key", "apart.crt.key"),
    ):
        host.run(["cp", f"{folder}/{source}", f"{folder}/{target}"])
    host.run(["mv", f"{folder}/bundle.pem", f"{folder}/bundle.pem.ecdsa"])
    corpus.write(
        f"{folder}/list",
        "# c\n%C/list1.pem [alpn h2] one.list.test *.w.test !x.w.test\n%C/list2.pem\n",
    )
    corpus.write("/etc/haproxy/haproxy.cfg", host.read("/etc/haproxy/haproxy.cfg") + HAPROXY)
    try:
        host.run(["systemctl", "reload", "haproxy"])
        host.wait_until(lambda: scan(host).contradicted() == {}, "the scan is contradicted", 60)
        scanned = scan(host)
    finally:
        corpus.put_back()
        host.run(["systemctl", "reload", "haproxy"])
    named = corpus.named(scanned)
    assert ("list1", ("one.list.test", "*.w.test")) in named
    assert ("list2", ("list2.test", "*.list2.test")) in named
    assert {certificate for certificate, _names in named} >= {
        "one",
        "two",
        "three",
        "rsa",
        "bundle",
        "apart",
        "cond",
    }


@pytest.mark.parametrize("name", ["web1", "apache1", "haproxy1"])
def test_a_scan_without_rights_says_what_it_could_not_read(small_lab: Lab, name: str) -> None:
    scanned = scan(small_lab.hosts[name], prefix=tuple(UNPRIVILEGED))
    whole = scan(small_lab.hosts[name])
    assert len(scanned.bindings) == len(whole.bindings)
    assert [one["line"] for one in scanned.bindings] == [one["line"] for one in whole.bindings]
    unread = [
        one for one in scanned.bindings if "unreadable" in {problem["kind"] for problem in one["problems"]}
    ]
    assert unread == scanned.bindings
    assert scanned.result["server"]["services"] == whole.result["server"]["services"]
