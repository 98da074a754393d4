"""Tomcat 9 knows attributes that 10.1 has no more: a real one judges what the scan makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import Corpus, deploy, scan, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

# Debian 12 has Tomcat 9 as a library only: this is its place, and what starts it.
_HOME = "/opt/tomcat9"
_UNIT = f"""[Service]
User=tomcat
WorkingDirectory={_HOME}
ExecStart=/usr/bin/java -Xmx96m -XX:TieredStopAtLevel=1 -classpath {_HOME}/lib/* -Dcatalina.home={_HOME} \
-Dcatalina.base={_HOME} -Djava.io.tmpdir={_HOME}/temp org.apache.catalina.startup.Bootstrap start
SuccessExitStatus=143
"""
_LAYOUT = """set -e
mkdir -p %H/lib %H/conf %H/temp %H/work %H/logs
for jar in /usr/share/java/tomcat9-*[a-z].jar; do ln -s "$jar" "%H/lib/${jar##*/tomcat9-}"; done
chown -R tomcat %H/temp %H/work %H/logs
"""
_SERVER = """<?xml version="1.0"?>
<Server port="-1">
  <Service name="Catalina">
    <Connector port="8543" SSLEnabled="true" scheme="https" secure="true" clientAuth="false"
               keystoreFile="conf/two.p12" keystorePass="s3cret" keystoreType="PKCS12" keyAlias="second"/>
    <Connector port="8544" SSLEnabled="true" address="127.0.0.1"
               SSLCertificateFile="%C/pem.crt" SSLCertificateKeyFile="%C/pem.key"/>
    <Connector port="8545" SSLEnabled="true" defaultSSLHostConfigName="new.test">
      <SSLHostConfig hostName="new.test"><Certificate certificateFile="%C/new.pem"/></SSLHostConfig>
    </Connector>
    <Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="nothing"/></Engine>
  </Service>
</Server>
"""


@pytest.fixture
def corpus(servers: LabHost, authority: Authority) -> Iterator[Corpus]:
    """A Tomcat 9 with a connector of each fashion; gone when the test is over."""
    corpus = Corpus(servers, authority)
    try:
        _lay_out(corpus)
        servers.run(["systemctl", "start", "tomcat9"])
        for port in (8543, 8544, 8545):
            servers.wait_until(
                lambda port=port: _shown(servers, port) is not None,  # type: ignore[misc]
                f"Tomcat 9 shows nothing on port {port}",
            )
        yield corpus
    finally:
        servers.run(["systemctl", "stop", "tomcat9"], check=False, timeout=120)
        corpus.put_back()
        servers.run(["rm", "-rf", _HOME])
        servers.run(["systemctl", "daemon-reload"])
        servers.run(["systemctl", "reset-failed", "tomcat9"], check=False)


def _lay_out(corpus: Corpus) -> None:
    host = corpus.host
    host.run(["sh", "-c", _LAYOUT.replace("%H", _HOME)])
    corpus.certificates("pem", "new", "first", "second")
    for name in ("first", "second"):
        source, made = f"{corpus.folder}/{name}.pem", f"{corpus.folder}/{name}.p12"
        export = ["openssl", "pkcs12", "-export", "-name", name, "-in", source, "-out", made]
        host.run([*export, "-passout", "pass:s3cret"])
        join = ["keytool", "-importkeystore", "-noprompt", "-srckeystore", made, "-srcstorepass", "s3cret"]
        host.run([*join, "-destkeystore", f"{_HOME}/conf/two.p12", "-deststorepass", "s3cret"])
    host.run(["chown", "-R", "root:tomcat", corpus.folder, f"{_HOME}/conf"])
    host.run(["chmod", "-R", "g+rX", corpus.folder, f"{_HOME}/conf"])
    corpus.write(f"{_HOME}/conf/server.xml", _SERVER)
    corpus.write("/etc/systemd/system/tomcat9.service", _UNIT)
    host.run(["systemctl", "daemon-reload"])


def _shown(host: LabHost, port: int) -> str | None:
    endpoint = {"address": "127.0.0.1", "port": port, "name": None, "starttls": None}
    found: str | None = send(host, {"op": "probe", "endpoints": [endpoint]})["endpoints"][0][
        "fingerprint_sha256"
    ]
    return found


def test_the_old_attributes_of_a_connector_show_what_the_scan_says_and_what_a_deploy_puts_there(
    corpus: Corpus, authority: Authority
) -> None:
    host = corpus.host
    scanned = scan(host, "tomcat")
    ours = [one for one in scanned.bindings if one["config_file"] == f"{_HOME}/conf/server.xml"]
    claimed = {one["listeners"][0]: corpus.fingerprints[one["certificate"]] for one in ours}
    shown = {port: corpus.fingerprints[str(_shown(host, port))] for port in (8543, 8544, 8545)}
    assert shown == {8543: "second", 8544: "pem", 8545: "new"}
    assert claimed == {"*:8543": "second", "127.0.0.1:8544": "pem", "*:8545": "new"}
    assert scanned.contradicted() == {}
    assert "s3cret" not in repr(scanned.raw)
    (service,) = scanned.result["server"]["services"]
    assert (service["running"], service["version"][:4]) == (True, "9.0.")
    (old,) = [one for one in ours if one["listeners"] == ["127.0.0.1:8544"]]
    issued = authority.issue("pem.test", "*.pem.test")
    outcome = deploy(host, old, issued)
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", issued.fingerprint), outcome
    assert _shown(host, 8544) == issued.fingerprint
