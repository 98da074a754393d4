"""Apache and HAProxy with what their configurations make themselves; handshakes are the judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.hosts import Corpus, Scanned, scan

if TYPE_CHECKING:
    from tests.authority import Authority
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

APACHE = r"""
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
LoadModule macro_module /usr/lib/apache2/modules/mod_macro.so
LoadModule md_module /usr/lib/apache2/modules/mod_md.so
Listen 8443
Define one %C/one
SSLCertificateFile %C/global.crt
SSLCertificateKeyFile %C/global.key
<Macro Site $name $cert>
  <VirtualHost *:8443>
    ServerName $name
    SSLEngine on
    SSLCertificateFile %C/$cert.crt
    SSLCertificateKeyFile %C/$cert.key
  </VirtualHost>
</Macro>
Use Site first.macro.test macro
Use Site second.macro.test other
UndefMacro Site
<VirtualHost *:8443>
  ServerName inherits.test
  SSLEngine on
</VirtualHost>
<VirtualHost *:8443>
  ServerName define.test
  SSLEngine on
  SSLCertificateFile "${one}.crt"
  SSLCertificateKeyFile ${one}.key
  SSLCertificateChainFile ${one}.chain
  <If "%{HTTP_HOST} == 'gone.test'">
    Redirect / https://gone.test/
  </If>
  RewriteEngine on
  RewriteMap lower "int:tolower"
  RewriteRule ^/(.*)$ /${lower:$1}
</VirtualHost>
IncludeOptional corpus-apache/[c]onf.d/*.conf
IncludeOptional corpus-apache/nothing/*.conf
Listen 8447 https
Listen 8448
<VirtualHost *:8447>
  ServerName by-listener.test
  SSLCertificateFile %C/by-listener.crt
  SSLCertificateKeyFile %C/by-listener.key
</VirtualHost>
<VirtualHost *:8448>
  ServerName plain.test
  SSLCertificateFile %C/plain.crt
  SSLCertificateKeyFile %C/plain.key
</VirtualHost>
<IfFile "/nowhere">
  Include /nowhere
</IfFile>
MDomain managed.test manual
MDCertificateAuthority https://127.0.0.1:1/directory
MDContactEmail ops@managed.test
MDCertificateAgreement accepted
<VirtualHost *:8443>
  ServerName managed.test
  SSLEngine on
</VirtualHost>
"""
BRACKET = """
<VirtualHost *:8443>
  ServerName bracket.test
  SSLEngine on
  SSLCertificateFile %C/bracket.pem
  SSLCertificateKeyFile %C/bracket.pem
</VirtualHost>
"""
HAPROXY = """
global
  crt-base %C
  ssl-default-bind-options ssl-min-ver TLSv1.2
  ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256
  stats socket ipv4@127.0.0.1:9452 ssl crt stats.pem level user
defaults corpus
  mode http
  timeout client 5s
listen based from corpus
  bind 127.0.0.1:9453 ssl crt one.pem crt sub/two.pem
listen listed from corpus
  bind 127.0.0.1:9454 ssl crt-list %C/list crt default.pem
"""


def settled(host: LabHost, kind: str) -> Scanned:
    """A scan that handshakes do not contradict, once the old workers are gone."""
    scanned = scan(host, kind)
    for _attempt in range(40):
        if scanned.contradicted() == {}:
            break
        scanned = scan(host, kind)
    assert scanned.contradicted() == {}
    return scanned


def test_what_macros_inheritance_and_mod_md_make(small_lab: Lab, corpus_authority: Authority) -> None:
    host = small_lab.hosts["apache1"]
    corpus = Corpus(host, corpus_authority, "/srv/made")
    corpus.certificates("global", "macro", "other", "one", "bracket", "stray", "by-listener", "plain")
    host.write("/srv/made/one.chain", corpus_authority.issue("x.test").chain)
    host.run(["sh", "-c", "sed -i '/END CERT/q' /srv/made/one.crt"])  # the leaf alone
    corpus.write("/etc/apache2/corpus-apache/conf.d/b.conf", BRACKET)
    corpus.write("/etc/apache2/sites-enabled/made.conf.save", BRACKET.replace("bracket", "stray"))
    corpus.write("/etc/apache2/sites-enabled/made.conf", APACHE)
    try:
        host.run(["apache2ctl", "configtest"])
        host.run(["systemctl", "restart", "apache2"])
        scanned = settled(host, "apache")
    finally:
        corpus.put_back()
        host.run(["rm", "-rf", "/etc/apache2/corpus-apache", "/etc/apache2/md"])
        host.run(["systemctl", "restart", "apache2"])
    named = {names: certificate for certificate, names in corpus.named(scanned)}
    assert named["first.macro.test",] == "macro"
    assert named["second.macro.test",] == "other"
    assert named["inherits.test",] == "global"
    assert named["define.test",] == "one"
    assert named["bracket.test",] == "bracket"
    assert named["by-listener.test",] == "by-listener"
    assert not {"stray", "plain"} & set(named.values())
    (managed,) = (one for one in scanned.bindings if one["names"] == ["managed.test"])
    assert managed["managed_by"] == "mod_md"
    kinds = [
        file["kind"] for one in scanned.bindings if one["names"] == ["define.test"] for file in one["files"]
    ]
    assert sorted(kinds) == ["chain", "key", "leaf"]


def test_what_is_below_a_base_in_a_list_and_on_a_stats_socket(
    small_lab: Lab, corpus_authority: Authority
) -> None:
    host = small_lab.hosts["haproxy1"]
    corpus = Corpus(host, corpus_authority, "/srv/made")
    corpus.certificates("stats", "one", "two", "default", "listed", "sub-listed")
    host.run(["mkdir", "/srv/made/sub"])
    host.run(["mv", "/srv/made/two.pem", "/srv/made/sub-listed.pem", "/srv/made/sub/"])
    corpus.write(
        "/srv/made/list", "listed.pem listed.test !not.listed.test\n\nsub/sub-listed.pem [alpn h2] *.w.test\n"
    )
    # what was said of crt-base before counts for the sites of the lab
    corpus.write("/etc/haproxy/haproxy.cfg", host.read("/etc/haproxy/haproxy.cfg") + HAPROXY)
    try:
        host.run(["haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg"])
        host.run(["systemctl", "reload", "haproxy"])
        scanned = settled(host, "haproxy")
    finally:
        corpus.put_back()
        host.run(["systemctl", "reload", "haproxy"])
    places = {
        corpus.fingerprints[one["certificate"]]: (one["names"], one["listeners"])
        for one in scanned.bindings
        if one["certificate"] in corpus.fingerprints
    }
    assert places["stats"] == (["stats.test", "*.stats.test"], [])
    assert "a stats socket: no handshake is tried there" in scanned.warned()
    assert places["two"][1] == ["127.0.0.1:9453"]
    assert places["listed"][0] == ["listed.test"]
    assert places["sub-listed"] == (["*.w.test"], ["127.0.0.1:9454"])
    assert set(places) == {"stats", "one", "two", "default", "listed", "sub-listed"}
