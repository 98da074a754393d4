"""Controllers get into the lab by ssh and Ansible, browsers through a published port."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab import LabError
from tests.lab.errors import HandshakeError

if TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.fixtures import RaiseLab

_ANSIBLE = Path(sys.executable).parent / "ansible"


@pytest.mark.skipif(not _ANSIBLE.exists(), reason="Ansible is not in this interpreter's environment")
def test_ansible_reaches_every_host_of_the_inventory(small_lab: Lab) -> None:
    done = small_lab.run(
        [str(_ANSIBLE), "all", "-i", str(small_lab.inventory), "-m", "ping", "--one-line"],
        env={"ANSIBLE_NOCOLOR": "1"},
    )

    reached = {line.split()[0] for line in done.stdout.splitlines() if "pong" in line}
    assert reached == {"issuer", "web1", "apache1", "haproxy1"}


def test_a_host_with_another_key_than_the_known_one_is_refused(small_lab: Lab, tmp_path: Path) -> None:
    command = small_lab.ssh_command("web1")
    known = small_lab.folder / "known_hosts"
    assert small_lab.run([*command, "hostname"]).stdout == "web1\n"

    forged = tmp_path / "known_hosts"
    others_key = next(line for line in known.read_text().splitlines() if ",apache1," in line).split()[2]
    forged.write_text(f"{small_lab.hosts['web1'].address} ssh-ed25519 {others_key}\n")
    done = small_lab.run([part.replace(str(known), str(forged)) for part in command], check=False)

    assert done.returncode == 255
    assert "HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_a_cut_host_is_out_of_reach_until_it_is_healed(small_lab: Lab) -> None:
    small_lab.cut("web1")
    try:
        with pytest.raises(HandshakeError):
            small_lab.served("web1", 443, "www.lab.test")
        assert small_lab.served("apache1", 443, "wiki.lab.test") == small_lab.first_fingerprints["wiki"]
    finally:
        small_lab.heal("web1")

    assert small_lab.served("web1", 443, "www.lab.test") == small_lab.first_fingerprints["www"]


def test_a_port_of_the_lab_is_published_on_the_machine(raise_lab: RaiseLab) -> None:
    lab = raise_lab()
    inside = lab.call(lambda: socket.create_server(("127.0.0.1", 8080)))
    with inside:
        threading.Thread(target=_echo_one, args=(inside,), daemon=True).start()
        port = _free_port()

        lab.publish(8080, port)

        with socket.create_connection(("127.0.0.1", port), 5) as outside:
            outside.sendall(b"hello")
            outside.shutdown(socket.SHUT_WR)
            assert outside.recv(64) == b"hello"
        with pytest.raises(LabError, match=rf"port {port} of this machine: .*in use"):
            lab.publish(8080, port)
    lab.down()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_a_thread_can_enter_the_network(small_lab: Lab) -> None:
    seen: list[str] = []

    def look() -> None:
        small_lab.enter()
        seen.extend(name for _, name in socket.if_nameindex())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert "br0" in seen
    assert "br0" not in [name for _, name in socket.if_nameindex()]


def test_files_of_a_host_are_read_and_written(small_lab: Lab) -> None:
    web1 = small_lab.hosts["web1"]

    web1.write("/srv/new/file", b"\x00\xff", mode=0o640)

    assert web1.read_bytes("/srv/new/file") == b"\x00\xff"
    assert web1.run(["stat", "-c", "%a", "/srv/new/file"]).stdout == "640\n"
    assert web1.sha256("/srv/new/file") == web1.run(["sha256sum", "/srv/new/file"]).stdout[:64]
    assert len(web1.pids("nginx")) >= 2
    assert web1.pids("no-such-program") == []
    with pytest.raises(LabError, match="No such file"):
        web1.read("/srv/new/other")


def _echo_one(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(64):
            connection.sendall(data)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
        return number
