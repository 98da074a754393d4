"""A URL of a CA leads to the Internet or to networks that were named: nothing else is asked."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from notafter.ca import directory, http
from notafter.ca.reach import Reach, networks
from notafter.domain.errors import CaError, CaUnreachable, NotADirectory, OutOfReach

from tests.answering_ca import DIRECTORY, HERE, Ca, https

INTERNET = Reach()


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[Ca]:
    with https(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",  # noqa: S104 -- asked, not bound
        "localhost",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
    ],
)
def test_what_stands_beside_us_is_not_asked_however_it_is_written(host: str) -> None:
    with pytest.raises(CaError) as raised:
        directory.read(f"https://{host}/dir", None, INTERNET)
    assert isinstance(raised.value, OutOfReach), raised.value
    assert "NOTAFTER_CA_NETWORKS" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://1.1.1.1/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "//1.1.1.1/",
        "gopher://x",
        "https://u:p@1.1.1.1/",
    ],
)
def test_other_schemes_and_user_names_are_refused(url: str) -> None:
    with pytest.raises(NotADirectory):
        directory.read(url, None, INTERNET)


@pytest.mark.parametrize("host", ["1.1.1.1", "[2606:4700:4700::1111]"])
def test_the_internet_is_within_reach(host: str) -> None:
    (way,) = INTERNET.ways(f"https://{host}:8443/dir?x=1")
    assert str(way.url) == f"https://{host}:8443/dir?x=1"
    assert way.authority == f"{host}:8443"


def test_a_network_that_was_named_is_within_reach_and_its_neighbours_are_not() -> None:
    reach = Reach(networks("10.1.0.0/16, fd00:1::/32"))
    assert reach.ways("https://10.1.2.3/")
    assert reach.ways("https://[fd00:1::5]/")
    for host in ("10.2.0.1", "[fd00:2::1]", "127.0.0.1"):
        with pytest.raises(OutOfReach):
            reach.ways(f"https://{host}/")


def answers(*addresses: str) -> Any:
    """A name server whose answer to anything is this, the first time; then it is another one."""
    said = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in addresses]]
    return lambda *_args, **_more: said.pop() if said else pytest.fail("asked again")


def test_a_name_with_one_address_beside_us_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers("1.1.1.1", "10.0.0.5"))
    with pytest.raises(OutOfReach, match=r"10\.0\.0\.5"):
        INTERNET.ways("https://ca.example/dir")


def test_a_name_is_looked_up_once_and_what_was_looked_at_is_asked_by_its_name(
    ca: Ca, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer of a name server would lead elsewhere."""
    ca.says(DIRECTORY)
    port = ca.url.rpartition(":")[2]
    looked_up = socket.getaddrinfo

    def first(_host: str, *rest: Any, **more: Any) -> Any:
        monkeypatch.setattr(socket, "getaddrinfo", second)
        return looked_up("127.0.0.1", *rest, **more)

    def second(host: Any, *rest: Any, **more: Any) -> Any:
        assert host in {"127.0.0.1", b"127.0.0.1"}, f"{host} was looked up again"
        return looked_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", first)
    with pytest.raises(CaUnreachable, match=r"ca\.example"):  # its certificate is for 127.0.0.1
        http.get(f"https://ca.example:{port}/dir", ca.root, HERE)


def test_an_address_that_does_not_answer_is_not_the_last(ca: Ca, monkeypatch: pytest.MonkeyPatch) -> None:
    ca.says(DIRECTORY)
    port = int(ca.url.rpartition(":")[2])
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in ("127.0.0.9", "127.0.0.1")]
    ways = HERE.ways(ca.url)
    assert [way.host for way in ways] == ["127.0.0.1"]
    looked_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: (
            both if host == "127.0.0.1" and rest == (port,) else looked_up(host, *rest, **more)
        ),
    )
    assert http.get(ca.url, ca.root, HERE).status == 200


@pytest.mark.parametrize("service", ["newNonce", "newOrder", "renewalInfo", "revokeCert", "keyChange"])
def test_a_directory_whose_services_lead_beside_us_is_refused(ca: Ca, service: str) -> None:
    ca.says({**DIRECTORY, service: "https://169.254.169.254/latest/meta-data"})
    with pytest.raises(OutOfReach, match=r"169\.254\.169\.254"):
        directory.read(ca.url, ca.root, HERE)
