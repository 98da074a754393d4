"""Scans mutated configurations of one kind of server, in a root of its own where nothing else is.

Run as a program: it goes into a new root that has the kind's seeds at their real places, with
certificates beside them, and lets the kind read them again and again, each time a little damaged.
No program can be run there, so everything is read from files; what a program would answer may lie
in `answers/PROGRAM_ARGUMENT` among the seeds, and is damaged as well. What raises, or takes more CPU time
than its limit, is printed with the number that brings it back, and the program fails.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from ansible_collections.notafter.tls.plugins.module_utils import host
from ansible_collections.notafter.tls.plugins.module_utils.host import scan, services
from ansible_collections.notafter.tls.plugins.module_utils.host.commands import Result
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import HostError
from ansible_collections.notafter.tls.plugins.module_utils.host.services._machine import Machine
from ansible_collections.notafter.tls.plugins.module_utils.host.services._reading import Exhausted, Reader
from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report
from ansible_collections.notafter.tls.plugins.plugin_utils import certificates
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12
from cryptography.x509 import load_pem_x509_certificate

from tests.authority import Authority
from tests.fuzz.mutation import mutated

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = Path(__file__).parent / "seeds"
#: CPU seconds and MiB that one damaged configuration may cost.
SECONDS, MEGABYTES = 4.0, 1024
#: Seconds of the clock: who sleeps in a call of the kernel uses none of the processor's.
PATIENCE = 60.0
#: What is loaded when it is needed, and cannot be in a root without a Python.
_LATER = ("ssl", "shlex", "stringprep", "bisect", "fnmatch", "xml.parsers.expat", "xml.etree.ElementTree")
_ENCODINGS = ("idna", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_8_sig", "latin_1", "ascii", "cp1252")
_SPECIAL = 0.03  # how often a file becomes something else than a file


class TooSlowError(BaseException):
    """One input has used up its CPU time; no part of the program may catch this by chance."""


def kinds() -> tuple[str, ...]:
    """All kinds of server that there are."""
    return tuple(services.KINDS)


def load_all() -> None:
    """Loads whatever the host program may load later."""
    for name in (*_LATER, *("encodings." + encoding for encoding in _ENCODINGS)):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(host.__path__, host.__name__ + "."):
        importlib.import_module(module.name)


def furnish(root: Path, kind: str) -> None:
    """Lays out the seeds of a kind, and certificates in /etc/ssl/seed for them to name."""
    shutil.copytree(SEEDS / kind, root, symlinks=True, dirs_exist_ok=True)
    folder = root / "etc/ssl/seed"
    folder.mkdir(parents=True)
    authority = Authority()
    for name, key_type in (("a", "ec-256"), ("b", "rsa-2048")):
        issued = authority.issue(f"{name}.test", f"*.{name}.test", key_type=key_type)
        whole = issued.certificate + issued.chain
        (folder / f"{name}.crt").write_text(whole, encoding="ascii")
        (folder / f"{name}.key").write_text(issued.private_key, encoding="ascii")
        (folder / f"{name}.pem").write_text(whole + issued.private_key, encoding="ascii")
        store = pkcs12.serialize_key_and_certificates(
            name.encode(),
            load_pem_private_key(issued.private_key.encode(), None),  # type: ignore[arg-type]
            load_pem_x509_certificate(issued.certificate.encode()),
            None,
            BestAvailableEncryption(b"changeit"),
        )
        (folder / f"{name}.p12").write_bytes(store)


class Chamber:
    """The root from inside: its files as they were, and one damaged copy after the other."""

    def __init__(self, kind: str, seed: str) -> None:
        self.kind = kind
        self.seed = seed
        self.originals = {path: path.read_bytes() for path in _files(Path("/"))}
        own = [path for path in self.originals if not path.is_relative_to("/etc/ssl/seed")]
        #: The configuration is damaged more often than the certificates.
        self.targets = own * 4 + [path for path in self.originals if path not in own]

    def scan(self) -> dict[str, Any]:
        """What the controller makes of what the kind finds."""
        report = Report(Reader(60.0))
        service = services.get(self.kind, Machine(run=_answer))
        try:
            service.name_strangers(report)
            service.found()
            service.version()
            service.scan(report)
            service.test_commands()
            service.reload_commands()
        except (Exhausted, HostError) as error:
            report.warning(str(error))
        raw = scan.answer(report, {"addresses": ["10.0.0.1", "fd00::1"], "services": []})
        json.dumps(raw, ensure_ascii=False).encode()  # as it goes over the wire
        return certificates.complete(json.loads(json.dumps(raw)), datetime.now(UTC))

    @contextmanager
    def damaged(self, number: int) -> Iterator[str]:
        """The root with one or two files damaged, and then as it was; says what was done."""
        random = Random(f"{self.seed}/{self.kind}/{number}")  # noqa: S311 - damage must come back
        chosen = random.sample(self.targets, k=min(len(self.targets), random.choice((1, 1, 2))))
        try:
            yield "; ".join(self._damage(path, random) for path in dict.fromkeys(chosen))
        finally:
            for path in dict.fromkeys(chosen):
                _remove(path)
                path.write_bytes(self.originals[path])

    def _damage(self, path: Path, random: Random) -> str:
        if random.random() < _SPECIAL:
            return _made_special(path, random)
        data = mutated(
            self.originals[path], random, [one for one in self.originals.values() if len(one) < 9999]
        )
        path.write_bytes(data)
        return f"{path}: {len(data)} bytes"


def _files(root: Path) -> list[Path]:
    """The files that a kind may read; not its programs, nor what the kernel would show."""
    found = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(path for path in found if path.parts[1] not in ("proc", "usr"))


def _made_special(path: Path, random: Random) -> str:
    """Makes something else of a file: nothing, a folder, a pipe, a device, a link to itself."""
    what = random.choice(("nothing", "folder", "pipe", "zero", "loop", "closed"))
    _remove(path)
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "zero":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "closed":
        path.touch(mode=0)
    return f"{path}: {what}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _answer(argv: list[str], **_options: object) -> Result:
    """What the seeds say that a program answers; no other can be run."""
    path = Path("/answers", "_".join([Path(argv[0]).name, *argv[1:2]]))
    if not path.is_file():
        raise HostError("command_missing", f"{argv[0]} cannot be run here")
    return Result(0, path.read_bytes(), b"", timed_out=False)


def _allow(processor: float, clock: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, processor)
    signal.setitimer(signal.ITIMER_REAL, clock)


def _expire(_signal: int, _frame: object) -> None:
    raise TooSlowError


def run(chamber: Chamber, numbers: range) -> int:
    """Scans damaged copies; prints and counts those that go wrong."""
    for alarm in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(alarm, _expire)
    wrong, slowest, found = 0, 0.0, 0
    for number in numbers:
        with chamber.damaged(number) as told:
            began = time.process_time()
            _allow(SECONDS, PATIENCE)
            try:
                found += bool(chamber.scan()["bindings"])
            except (Exception, TooSlowError):  # noqa: BLE001 - any of them is what is looked for
                _allow(0, 0)
                wrong += 1
                print(f"{chamber.kind} {number} of seed {chamber.seed}: {told}\n{traceback.format_exc()}")
            _allow(0, 0)
            slowest = max(slowest, time.process_time() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{chamber.kind}: {len(numbers)} damaged configurations, {found} still with a binding, "
        f"{wrong} wrong; slowest {slowest:.2f} s, {memory} MiB"
    )
    return wrong


def main() -> None:
    """Goes into the root and stays there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=kinds())
    parser.add_argument("--seed", required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--only", type=int, help="the number of the one that is to come back")
    wish = parser.parse_args()
    load_all()
    with tempfile.TemporaryDirectory(prefix="notafter-fuzz-") as folder:
        child = os.fork()
        if child == 0:
            _inside(Path(folder), wish)
        _pid, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status) != 0)


def _inside(root: Path, wish: argparse.Namespace) -> None:
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES << 20, MEGABYTES << 20))
        furnish(root, wish.kind)
        os.chroot(root)
        os.chdir("/")
        chamber = Chamber(wish.kind, wish.seed)
        if not chamber.scan()["bindings"]:
            print(f"{wish.kind}: its seeds lead to no binding, so that damage to them proves nothing")
        else:
            numbers = range(wish.count) if wish.only is None else range(wish.only, wish.only + 1)
            code = int(run(chamber, numbers) > 0)
    except BaseException:  # noqa: BLE001 - a forked child: whatever happens, it must end here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
