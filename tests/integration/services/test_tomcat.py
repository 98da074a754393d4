"""Tomcat is read as it reads itself: every certificate that a handshake shows is found in its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, Scanned, deploy, scan, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

_SERVER = "/etc/tomcat10/server.xml"
_PROPERTIES = "/etc/tomcat10/catalina.properties"
_DROP_IN = "/etc/systemd/system/tomcat10.service.d/test.conf"
_FRAME = """<?xml version="1.0" encoding="UTF-8"?>
%s<Server port="-1"%s>
  <Service name="Catalina">
%s
    <Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="nothing"/></Engine>
  </Service>
</Server>
"""


@dataclass
class Tomcat:
    """The Tomcat of one host, with a corpus of certificates and keystores."""

    host: LabHost
    corpus: Corpus
    keystores: list[str] = field(default_factory=list)

    def configure(self, connectors: str, *, before: str = "", attributes: str = "") -> None:
        """Writes server.xml; `%C` is the folder of the certificates."""
        text = _FRAME % (before, attributes and " " + attributes, connectors.strip("\n"))
        self.corpus.write(_SERVER, text)

    def start(self, *ports: int) -> None:
        """Starts it anew, and waits until each port shows a certificate."""
        self.host.run(["systemctl", "daemon-reload"])
        self.host.run(["systemctl", "reset-failed", "tomcat10"], check=False)
        self.host.run(["systemctl", "restart", "tomcat10"], timeout=120)
        for port in ports:
            self.host.wait_until(
                lambda port=port: self.shown(port) is not None,  # type: ignore[misc]
                f"Tomcat shows nothing on port {port}",
            )

    def stop(self) -> None:
        self.host.run(["systemctl", "stop", "tomcat10"], timeout=120)

    def shown(self, port: int, name: str | None = None, address: str = "127.0.0.1") -> str | None:
        """The fingerprint that a fresh handshake shows."""
        endpoint = {"address": address, "port": port, "name": name, "starttls": None}
        answer = send(self.host, {"op": "probe", "endpoints": [endpoint]})["endpoints"][0]
        found: str | None = answer["fingerprint_sha256"]
        return found

    def keystore(self, name: str, *aliases: str, password: str = "changeit", form: str = "") -> str:
        """A keystore with a certificate of its own for each alias; JKS and JCEKS are made by keytool."""
        path = f"{self.corpus.folder}/{name}"
        for alias in aliases:
            self._add(path, alias, password, form)
        self.host.run(["chmod", "644", path])
        return path

    def _add(self, path: str, alias: str, password: str, form: str) -> None:
        issued = self.corpus.authority.issue(f"{alias}.test")
        self.corpus.fingerprints[issued.fingerprint] = alias
        new = f"{path}.new" if form in {"JKS", "JCEKS", "MANY"} else path
        whole = issued.certificate + issued.chain + issued.private_key
        old = ["-legacy"] if form == "LEGACY" else []
        self.host.write(f"{path}.pem", whole)
        export = ["openssl", "pkcs12", "-export", *old, "-name", alias, "-in", f"{path}.pem", "-out", new]
        self.host.run([*export, "-passout", f"pass:{password}"])
        if new != path:
            kind = {"MANY": "PKCS12"}.get(form, form)
            move = ["keytool", "-importkeystore", "-noprompt", "-srckeystore", new, "-destkeystore", path]
            passwords = ["-srcstorepass", password, "-deststorepass", password, "-deststoretype", kind]
            self.host.run([*move, *passwords])
            self.host.run(["rm", new])


@pytest.fixture
def tomcat(servers: LabHost, authority: Authority) -> Iterator[Tomcat]:
    """A Tomcat that is put back and stopped when the test is over."""
    corpus = Corpus(servers, authority)
    for path in (_SERVER, _PROPERTIES):
        corpus.write(path, servers.read(path))
    tomcat = Tomcat(servers, corpus)
    try:
        yield tomcat
    finally:
        servers.run(["rm", "-rf", _DROP_IN.rpartition("/")[0], "/var/lib/tomcat/.keystore"])
        tomcat.stop()
        corpus.put_back()
        servers.run(["systemctl", "daemon-reload"])
        servers.run(["systemctl", "reset-failed", "tomcat10"], check=False)


def readable(tomcat: Tomcat, *names: str, key_type: str = "ec-256") -> None:
    """Certificates as PEM that Tomcat's own user may read."""
    tomcat.corpus.certificates(*names, key_type=key_type)
    tomcat.host.run(["chown", "-R", "root:tomcat", tomcat.corpus.folder])
    tomcat.host.run(["chmod", "-R", "g+rX", tomcat.corpus.folder])


def found(tomcat: Tomcat, scanned: Scanned) -> dict[tuple[str, tuple[str, ...]], set[tuple[str, str]]]:
    """By listener and names: the certificates that are claimed, with the file that each is in."""
    claimed: dict[tuple[str, tuple[str, ...]], set[tuple[str, str]]] = {}
    for binding in scanned.bindings:
        name = tomcat.corpus.fingerprints.get(binding["certificate"] or "", "none")
        file = binding["files"][0]["path"].rpartition("/")[2] if binding["files"] else "none"
        for listener in binding["listeners"] or ["nowhere"]:
            claimed.setdefault((listener, tuple(binding["names"])), set()).add((name, file))
    return claimed


_PEM = """
    <!-- <Connector port="8440" SSLEnabled="true"><SSLHostConfig>
           <Certificate certificateFile="%C/one.crt"/></SSLHostConfig></Connector> -->
    <Connector port="8080" protocol="HTTP/1.1"/>
    <Connector protocol="AJP/1.3" port="8009" secretRequired="false" address="127.0.0.1"/>
    <Connector port="8443" SSLEnabled="True" defaultSSLHostConfigName="Two.test">
      <SSLHostConfig hostName="one.TEST">
        <Certificate certificateFile="%C/one.crt" certificateKeyFile="%C/one.key" type="EC"/>
        <Certificate certificateFile="%C/rsa.crt" certificateKeyFile="%C/rsa.key" type="RSA"/>
      </SSLHostConfig>
      <SSLHostConfig hostName="two.test"><Certificate certificateFile='%C/two.pem'/></SSLHostConfig>
      <SSLHostConfig hostName="*.one.test">
        <Certificate certificateFile="%C/three.leaf" certificateKeyFile="%C/three.key"
                     certificateChainFile="%C/three.chain"/>
      </SSLHostConfig>
    </Connector>
    <Connector port="8444" SSLEnabled="true" address="127.0.0.1"><SSLHostConfig>
      <Certificate certificateFile="conf/relative.pem"/></SSLHostConfig></Connector>
    <Connector port="8445" secure="true" scheme="https"><SSLHostConfig>
      <Certificate certificateFile="%C/one.pem"/></SSLHostConfig></Connector>
    <Connector port="-1" SSLEnabled="true"><SSLHostConfig>
      <Certificate certificateFile="%C/one.pem"/></SSLHostConfig></Connector>
    <Connector port="8446" SSLEnabled="true"><SSLHostConfig hostName="four.test">
      <Certificate certificateFile="%C/two.pem"/></SSLHostConfig></Connector>
"""


def test_pem_files_are_found_for_the_names_and_listeners_that_show_them(tomcat: Tomcat) -> None:
    readable(tomcat, "one", "two", "three", "relative")
    readable(tomcat, "rsa", key_type="rsa-2048")
    corpus, host = tomcat.corpus, tomcat.host
    whole = host.read(f"{corpus.folder}/three.crt").split("-----BEGIN")
    corpus.write(f"{corpus.folder}/three.leaf", "-----BEGIN" + whole[1])
    corpus.write(f"{corpus.folder}/three.chain", "-----BEGIN" + whole[2])
    corpus.write("/etc/tomcat10/relative.pem", host.read(f"{corpus.folder}/relative.pem"))
    tomcat.configure(_PEM)
    tomcat.start(8443, 8444)
    scanned = scan(host, "tomcat")
    assert scanned.contradicted() == {}
    assert found(tomcat, scanned) == {
        ("*:8443", ("one.test",)): {("one", "one.crt"), ("rsa", "rsa.crt")},
        ("*:8443", ("two.test",)): {("two", "two.pem")},
        ("*:8443", ("*.one.test",)): {("three", "three.leaf")},
        ("127.0.0.1:8444", ()): {("relative", "relative.pem")},
        ("nowhere", ()): {("one", "one.pem")},
        ("nowhere", ("four.test",)): {("two", "two.pem")},
    }
    for name, expected in (("x.one.test", "three"), ("x.y.one.test", "two"), (None, "two")):
        assert corpus.fingerprints[str(tomcat.shown(8443, name))] == expected
    assert tomcat.shown(8445) is None
    assert tomcat.shown(8446, "four.test") is None
    assert {binding["config_file"] for binding in scanned.bindings} == {_SERVER}
    lines = tomcat.host.read(_SERVER).splitlines()
    for binding in scanned.bindings:
        assert "<Certificate" in lines[binding["line"] - 1]
    told = " ".join(scanned.warned())
    assert 'no SSLEnabled="true"' in told
    assert "no SSLHostConfig is called _default_" in told
    (service,) = scanned.result["server"]["services"]
    assert (service["name"], service["running"]) == ("tomcat", True)
    assert service["version"].startswith("10.1.")


_STORES = """
    <Connector port="8443" SSLEnabled="true">
      <SSLHostConfig>
        <Certificate certificateKeystoreFile="%C/many.jks" certificateKeystorePassword="changeit"/>
      </SSLHostConfig>
      <SSLHostConfig hostName="alias.test"><Certificate certificateKeystoreFile="%C/many.jks"
          certificateKeyAlias="${notafter.alias}"/></SSLHostConfig>
      <SSLHostConfig hostName="p12.test"><Certificate certificateKeystoreFile="%C/many.p12"
          certificateKeystorePassword="${notafter.password}" certificateKeystoreType="PKCS12"/>
      </SSLHostConfig>
      <SSLHostConfig hostName="alias12.test"><Certificate certificateKeystoreFile="file:%C/many.p12"
          certificateKeystorePassword="s3cret &amp; more" certificateKeyAlias="&last;"/>
      </SSLHostConfig>
      <SSLHostConfig hostName="jceks.test"><Certificate certificateKeystoreFile="%C/one.jceks"
          certificateKeystoreType="JCEKS"/></SSLHostConfig>
      <SSLHostConfig hostName="legacy.test"><Certificate certificateKeystoreFile="%C/legacy.p12"
          certificateKeystorePasswordFile="%C/password"/></SSLHostConfig>
      <SSLHostConfig hostName="own.test"><Certificate type="EC"
          certificateKeystorePassword="changeit"/></SSLHostConfig>
      <SSLHostConfig hostName="odd.test"><Certificate certificateKeystoreFile="%C/${unknown:-many.jks}"
          certificateKeyAlias="${notafter.both}"/></SSLHostConfig>
    </Connector>
"""


def test_keystores_are_opened_as_java_opens_them(tomcat: Tomcat) -> None:
    host, corpus = tomcat.host, tomcat.corpus
    many = [f"a{number}" for number in range(12)]
    tomcat.keystore("many.jks", *many, form="JKS")
    tomcat.keystore("many.p12", "first", "second", "last", password="s3cret & more", form="MANY")
    tomcat.keystore("one.jceks", "jceks", form="JCEKS")
    tomcat.keystore("legacy.p12", "legacy", password="old", form="LEGACY")
    host.run(["mkdir", "-p", "/var/lib/tomcat"])
    host.run(["cp", tomcat.keystore("own.p12", "own"), "/var/lib/tomcat/.keystore"])
    corpus.write(f"{corpus.folder}/password", "old\nsecond line\n")
    settings = "\nnotafter.alias = ${notafter.\\\n   nested}\nnotafter.nested: A7\nnotafter.both=a3\n"
    corpus.write(_PROPERTIES, host.read(_PROPERTIES) + settings)
    options = "-Dnotafter.both=a4 '-Dnotafter.password=s3cret & more'"
    corpus.write(_DROP_IN, f'[Service]\nEnvironment="CATALINA_OPTS={options}"\n')
    tomcat.configure(
        _STORES, before='<!DOCTYPE Server [<!ENTITY last "LAST">]>\n', attributes='portOffset="10"'
    )
    tomcat.start(8453)
    scanned = scan(host, "tomcat")
    assert scanned.warned() == []
    assert scanned.contradicted() == {}
    shown = {names: one for (_listener, names), one in found(tomcat, scanned).items()}
    first = corpus.fingerprints[str(tomcat.shown(8453))]
    assert shown == {
        (): {(first, "many.jks")},
        ("alias.test",): {("a7", "many.jks")},
        ("p12.test",): {("first", "many.p12")},
        ("alias12.test",): {("last", "many.p12")},
        ("jceks.test",): {("jceks", "one.jceks")},
        ("legacy.test",): {("legacy", "legacy.p12")},
        ("own.test",): {("own", ".keystore")},
        ("odd.test",): {("a3", "many.jks")},
    }
    kinds = {
        file["path"].rpartition(".")[2]: file["kind"] for one in scanned.bindings for file in one["files"]
    }
    assert kinds == {"jks": "jks", "p12": "pkcs12", "jceks": "jks", "keystore": "pkcs12"}
    for binding in scanned.bindings:
        problems = [problem["kind"] for problem in binding["problems"]]
        assert "chain_incomplete" not in problems
        assert "unresolved" not in problems
    told = repr(scanned.raw)
    assert "s3cret" not in told
    assert "PRIVATE" not in told


_UNKNOWN = """
    <Connector port="8443" SSLEnabled="true">
      <SSLHostConfig><Certificate certificateFile="%C/one.pem"/></SSLHostConfig>
      &more;
      <SSLHostConfig hostName="wrong.test"><Certificate certificateKeystoreFile="%C/one.p12"
          certificateKeystorePassword="wr0ng"/></SSLHostConfig>
      <SSLHostConfig hostName="unset.test"><Certificate
          certificateFile="${nobody.knows}/x.pem"/></SSLHostConfig>
      <SSLHostConfig hostName="token.test"><Certificate certificateKeystoreType="PKCS11"/></SSLHostConfig>
      <SSLHostConfig hostName="gone.test"><Certificate certificateKeystoreFile="%C/gone.jks"/></SSLHostConfig>
    </Connector>
    <Connector port="8444" SSLEnabled="true" keystoreFile="%C/one.p12" keystorePass="s3cret"/>
"""


def test_what_cannot_be_resolved_is_told_with_its_place_and_without_a_password(tomcat: Tomcat) -> None:
    readable(tomcat, "one")
    tomcat.keystore("one.p12", "p12", password="s3cret")
    tomcat.configure(
        _UNKNOWN, before=f'<!DOCTYPE x [<!ENTITY more SYSTEM "file://{tomcat.corpus.folder}/more.xml">]>\n'
    )
    more = '<SSLHostConfig hostName="more.test"><Certificate certificateFile="%C/one.pem"/></SSLHostConfig>'
    tomcat.corpus.write(f"{tomcat.corpus.folder}/more.xml", more)
    scanned = scan(tomcat.host, "tomcat")
    problems = {
        one["names"][0]: [problem["message"] for problem in one["problems"] if problem["kind"] != "expired"]
        for one in scanned.bindings
        if one["names"]
    }
    line = tomcat.host.read(_SERVER).split("wrong.test")[0].count("\n") + 1
    folder = tomcat.corpus.folder
    assert problems["wrong.test"] == [
        f"{folder}/one.p12: the password in {_SERVER}, line {line} does not open it"
    ]
    assert problems["unset.test"] == ["which file is meant is not known: ${nobody.knows}/x.pem"]
    assert problems["token.test"] == ["which file is meant is not known: PKCS11"]
    assert problems["gone.test"] == [f"{folder}/gone.jks: No such file or directory"]
    told = [(one["file"], one["message"]) for one in scanned.result["warnings"]]
    include = f"it includes file://{folder}/more.xml by an XML entity: that file is not read"
    assert (_SERVER, include) in told
    assert (_SERVER, "Tomcat 10.1 does not know keystoreFile, keystorePass any more") in told
    assert "s3cret" not in repr(scanned.raw)
    assert "wr0ng" not in repr(scanned.raw)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<Server><Service>", "it is no well-formed XML"),
        ("", "it is no well-formed XML"),
        ("\0" * 1000, "it is no well-formed XML"),
        (
            '<!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]><Server a="&b;"/>',
            "it declares the XML entity b, which could grow",
        ),
        (
            f'<!DOCTYPE l [<!ENTITY a "{"x" * 100000}">]><Server a="{"&a;" * 1000}"/>',
            "it declares the XML entity a, which could grow",
        ),
    ],
)
def test_a_server_xml_that_is_none_stops_nothing(tomcat: Tomcat, text: str, expected: str) -> None:
    tomcat.corpus.write(_SERVER, text)
    scanned = scan(tomcat.host, "tomcat")
    assert scanned.bindings == []
    assert [message for message in scanned.warned() if message.startswith(expected)] != []


def test_without_rights_it_says_what_it_could_not_read(tomcat: Tomcat) -> None:
    scanned = scan(tomcat.host, "tomcat", prefix=tuple(UNPRIVILEGED))
    assert scanned.bindings == []
    assert f"{_SERVER} is not read: Permission denied" in scanned.warned()


_ONE = """
    <Connector port="8443" SSLEnabled="true"><SSLHostConfig>
      <Certificate certificateFile="%C/one.crt" certificateKeyFile="%C/one.key"/></SSLHostConfig></Connector>
"""


def test_a_deploy_restarts_it_and_handshakes_show_the_new_certificate(
    tomcat: Tomcat, authority: Authority
) -> None:
    readable(tomcat, "one")
    tomcat.configure(_ONE)
    tomcat.start(8443)
    (binding,) = scan(tomcat.host, "tomcat").bindings
    issued = authority.issue("one.test", "*.one.test")
    outcome = deploy(tomcat.host, binding, issued)
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", issued.fingerprint)
    assert tomcat.shown(8443) == issued.fingerprint
    logs = tomcat.host.run(["find", "/var/log/tomcat10", "!", "-user", "tomcat"]).stdout
    assert logs == ""
    again = deploy(
        tomcat.host, {**binding, "files": [{**f, "sha256": None} for f in binding["files"]]}, issued
    )
    assert again["state"] == "unchanged"


def test_what_its_own_test_refuses_is_left_alone(tomcat: Tomcat, authority: Authority) -> None:
    readable(tomcat, "one")
    tomcat.configure(_ONE)
    tomcat.start(8443)
    (binding,) = scan(tomcat.host, "tomcat").bindings
    before = tomcat.host.run(["systemctl", "show", "--property=MainPID", "tomcat10"]).stdout
    tomcat.host.write(_SERVER, tomcat.host.read(_SERVER).replace("</Server>", "</server>"))
    outcome = deploy(tomcat.host, binding, authority.issue("one.test", "*.one.test"))
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")
    assert tomcat.host.run(["systemctl", "show", "--property=MainPID", "tomcat10"]).stdout == before
    assert tomcat.shown(8443) == binding["certificate"]


def test_the_old_certificate_serves_again_where_the_restart_fails(
    tomcat: Tomcat, authority: Authority
) -> None:
    readable(tomcat, "one")
    tomcat.configure(_ONE)
    tomcat.start(8443)
    (binding,) = scan(tomcat.host, "tomcat").bindings
    issued = authority.issue("one.test", "*.one.test")
    # starts only while the old certificate lies there
    digest = tomcat.host.sha256(f"{tomcat.corpus.folder}/one.crt")
    only = f"ExecStartPre=/bin/sh -c 'sha256sum {tomcat.corpus.folder}/one.crt | grep -q {digest}'"
    tomcat.corpus.write(_DROP_IN, f"[Service]\n{only}\n")
    tomcat.host.run(["systemctl", "daemon-reload"])
    outcome = deploy(tomcat.host, binding, issued)
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "reload_failed")
    assert tomcat.shown(8443) == binding["certificate"]


def test_a_tomcat_that_does_not_run_is_read_and_its_files_are_staged(
    tomcat: Tomcat, authority: Authority
) -> None:
    readable(tomcat, "one")
    tomcat.configure(_ONE)
    scanned = scan(tomcat.host, "tomcat")
    (binding,) = scanned.bindings
    assert binding["listeners"] == ["*:8443"]
    issued = authority.issue("one.test", "*.one.test")
    outcome = deploy(tomcat.host, binding, issued)
    assert (outcome["state"], outcome["reason"]) == ("staged", "service_stopped")
    assert scan(tomcat.host, "tomcat").bindings[0]["certificate"] == issued.fingerprint


def test_a_java_of_somebody_is_not_believed(tomcat: Tomcat) -> None:
    """A process that only says that it is a Tomcat would have root read, and write, what it likes."""
    readable(tomcat, "one")
    tomcat.configure(_ONE)
    java = "/usr/lib/jvm/default-java/bin/java"
    tomcat.corpus.write(
        f"{tomcat.corpus.folder}/conf/server.xml", tomcat.host.read(_SERVER).replace("8443", "9443")
    )
    home = ["-classpath", "/usr/share/tomcat10/bin/bootstrap.jar:/usr/share/tomcat10/bin/tomcat-juli.jar"]
    base = [f"-Dcatalina.base={tomcat.corpus.folder}", "-Dcatalina.home=/usr/share/tomcat10"]
    main = ["org.apache.catalina.startup.Bootstrap", "start"]
    start = ["systemd-run", "--unit=nobodys", "--", "/usr/sbin/runuser", "-u", "nobody", "--"]
    tomcat.host.run([*start, java, *home, *base, *main])
    try:
        tomcat.host.wait_until(lambda: bool(tomcat.host.pids("java")), "no Java runs", 60)
        scanned = scan(tomcat.host, "tomcat")
        assert [one["config_file"] for one in scanned.bindings] == [_SERVER]
        assert any("neither by root nor by systemd" in told for told in scanned.warned())
    finally:
        tomcat.host.run(["systemctl", "stop", "nobodys"], check=False)
