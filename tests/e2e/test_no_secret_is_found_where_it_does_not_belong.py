"""Goal G: keys, tokens and passwords are looked for everywhere that they must not be."""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests import by_hand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Story
    from tests.lab.host import LabHost

TREE = Path(__file__).parents[2]
_KEY = re.compile("-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


def forms(secret: bytes) -> list[bytes]:
    """A secret as it stands, and as base64 and hex would show it (base64 at each of the three alignments)."""
    found = [secret, binascii.hexlify(secret)]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret)
        found.append(encoded[4 if shift else 0 : -4])
    return found


def canary(text: str) -> bytes:
    """Bytes of a PEM key that are private for certain: of the scalar (RFC 5915), or of the first prime."""
    numbers = load_pem_private_key(text.encode(), None)
    if isinstance(numbers, ec.EllipticCurvePrivateKey):
        return numbers.private_numbers().private_value.to_bytes(32, "big")[2:30]
    assert isinstance(numbers, rsa.RSAPrivateKey)
    return numbers.private_numbers().p.to_bytes(128, "big")[2:30]


def secrets_of(story: Story) -> dict[str, bytes]:
    """What must not be found: keys that serve, the DNS key, the API's token, the KEK."""
    plane = story.plane
    found = {
        "the DNS key": story.lab.dns.variables["KNOT_KEY"].split()[-1].encode(),
        "the API token": plane.token.encode(),
        "the key-encryption key": (plane.folder / "data" / "kek").read_bytes().strip(),
    }
    for site in story.lab.sites:
        host = story.lab.hosts[site.hosts[0]]
        path = next(file.path for file in site.files if file.kind in ("key", "combined"))
        text = host.read(path)
        found[f"the key of {site.key}"] = canary(_KEY.findall(text)[0])
    return found


class Watcher:
    """Reads every process's arguments and environment, twenty times a second, while something runs."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seen = bytearray()
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        known: set[tuple[str, bytes]] = set()
        while not self._over.wait(0.05):
            self.looks += 1
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit() or int(entry.name) == os.getpid():
                    continue
                for name in ("cmdline", "environ"):
                    try:
                        text = (entry / name).read_bytes()
                    except OSError:
                        continue
                    if (entry.name, text) not in known:
                        known.add((entry.name, text))
                        self.seen += text + b"\n"


def database_dump(folder: Path) -> bytes:
    """The database as SQL text, and its files as they are."""
    database = folder / "data" / "notafter.db"
    raw = b"".join(path.read_bytes() for path in database.parent.glob("notafter.db*"))
    script = "import sqlite3,sys; [print(line) for line in sqlite3.connect(sys.argv[1]).iterdump()]"
    done = subprocess.run(["/usr/bin/python3", "-c", script, str(database)], check=True, capture_output=True)
    return raw + done.stdout


def files_below(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every readable file of folders."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                try:
                    yield str(path), path.read_bytes()
                except OSError:
                    continue


def files_on(host: LabHost) -> bytes:
    """What lies where Ansible, acme.sh and we leave things on a host; not the keys' own places."""
    folders = "/tmp /var/tmp /root /run /dev/shm /var/log /var/lib/notafter"
    own = "'^/root/.ssh/|^/var/lib/notafter/transactions/[^/]*/[0-9]*.backup$'"
    script = f"find {folders} -type f -size -4096k 2>/dev/null | grep -vE {own} | xargs -r -d '\\n' cat"
    command = [*host.enter_prefix(), "sh", "-c", script]
    return subprocess.run(command, check=False, capture_output=True, timeout=120).stdout


def leaks(places: dict[str, bytes], secrets: dict[str, bytes]) -> list[str]:
    """Which secret is found in which place."""
    return [
        f"{what} is in {where}"
        for where, content in places.items()
        for what, secret in secrets.items()
        if any(form in content for form in forms(secret))
    ]


def test_g_a_renewal_leaves_no_secret_anywhere(story: Story) -> None:
    plane = story.plane
    shared_memory = set(Path("/dev/shm").rglob("*"))
    with Watcher() as watcher:
        before = story.renew(*(site.key for site in story.lab.sites))
        story.wait_until_done(before)
    assert watcher.looks > 20
    secrets = secrets_of(story)
    places = {
        "a process's arguments or environment": bytes(watcher.seen),
        "the database": database_dump(plane.folder),
        "the log of the control plane": plane.log.read_bytes(),
        "the inventory": story.lab.inventory.read_bytes(),
        "what the API shows": repr((plane.jobs(), plane.certificates())).encode(),
        "the lines of the jobs": repr(
            [plane.ask("GET", f"/api/v1/jobs/{job['id']}/lines") for job in plane.jobs()[:3]]
        ).encode(),
    }
    kek = plane.folder / "data" / "kek"
    folders = [plane.folder, story.lab.folder / "ansible", Path("/tmp"), Path.home() / ".ansible"]
    new_memory = set(Path("/dev/shm").rglob("*")) - shared_memory
    left_in_memory = ((str(path), path.read_bytes()) for path in new_memory if path.is_file())
    places |= {name: content for name, content in files_below(*folders) if name != str(kek)}
    places |= dict(left_in_memory)
    for host in story.lab.hosts.values():
        if host.name != "ca":
            places[f"a file of {host.name}"] = files_on(host)
    assert leaks(places, secrets) == []


def test_g_a_deliberately_leaky_playbook_is_found(story: Story, tmp_path: Path) -> None:
    """The negative control: a secret in an argument, in an event's text and in a file, each is found."""
    secret = "canary-" + binascii.hexlify(os.urandom(12)).decode()
    playbook = tmp_path / "leaky.yml"
    playbook.write_text(
        "- hosts: web1\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.command: {argv: [sleep, '1', --]}\n      failed_when: false\n"
        "    - ansible.builtin.shell: 'echo {{ canary }} | base64 > /tmp/leak; sleep 1; : {{ canary }}'\n"
    )
    program = TREE / ".venv" / "bin" / "ansible-playbook"
    with Watcher() as watcher:
        done = story.lab.run(
            [str(program), str(playbook), "-v", "-i", str(story.lab.inventory), "-e", f"canary={secret}"],
            env={
                "ANSIBLE_CONFIG": str(by_hand.TREE / "ansible.cfg"),
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
            },
        )
    try:
        places = {
            "arguments": bytes(watcher.seen),
            "output": done.stdout.encode(),
            "web1": files_on(story.lab.hosts["web1"]),
        }
        found = leaks(places, {"the canary": secret.encode()})
    finally:
        story.lab.hosts["web1"].run(["rm", "-f", "/tmp/leak"])
    assert "the canary is in arguments" in found
    assert "the canary is in web1" in found, "base64 does not hide it"


def test_the_forms_of_a_secret_are_found_at_every_alignment() -> None:
    secret = b"s3cret-canary-value"
    for prefix in (b"", b"a", b"ab", b"abc"):
        text = base64.b64encode(prefix + secret + b"tail")
        assert any(form in text for form in forms(secret)), prefix
    assert not any(form in b"nothing of the kind" for form in forms(secret))
