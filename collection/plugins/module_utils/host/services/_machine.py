# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that a kind of server looks at: its processes, its programs, its systemd."""

import os
import pwd
import re
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import HostError
from . import _reading

SEARCH = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
)
_PROC_LIMIT = 4 * 1024 * 1024
_PROGRAM_LIMIT = 64 * 1024 * 1024
_ELF = b"\x7fELF"
_TEXT_LIMIT = 16 * 1024
_STEP = 96 * 1024


def _run(argv: List[str], **options: Any) -> Any:
    """Runs a program; what that needs is loaded where the first one is run."""
    from .. import commands  # noqa: PLC0415 - most hosts can be scanned without running anything

    return commands.run(argv, **options)


def _may_run(path: str) -> bool:
    """Whether root may run a program: only one that nobody else may change."""
    found = _reading.status(path)
    return found is not None and (os.geteuid() != 0 or (found.st_uid == 0 and not found.st_mode & 0o022))


def _may_obey(word: str) -> bool:
    """Whether root may act on a word of a command line that another may have written."""
    option, slash, rest = word.partition("/")
    if not slash:
        return word.startswith("-") or re.fullmatch(r"[0-9]+([.:][0-9]+)*", word) is not None
    path = "/" + rest
    return (not option or option.startswith("-")) and _is_roots(path) and _is_roots(_reading.real(path))


def _is_roots(path: str) -> bool:
    """Whether nobody but root may change a file or put another into its place."""
    path = os.path.normpath(path)
    found = _reading.status(path)
    if found is None or found.st_uid != 0 or found.st_mode & 0o022:
        return False
    return path == "/" or _is_roots(os.path.dirname(path))


class Process(NamedTuple):
    """One process: `arguments` is its command line as the kernel shows it."""

    pid: int
    parent: int
    user: int
    name: str
    arguments: List[str]


class Machine:
    """What of the host a kind of server may ask; a test gives its own folders and commands."""

    def __init__(
        self,
        proc: str = "/proc",
        search: Sequence[str] = SEARCH,
        systemd: str = "/run/systemd/system",
        run: Callable[..., Any] = _run,
        still: bool = False,
    ) -> None:
        """With `still`, which processes there are is looked at once: a scan has many kinds to ask about."""
        self.proc = proc
        self.search = search
        self.systemd = systemd
        self._run = run
        self.still = still
        self._names: Optional[List[Tuple[int, str]]] = None
        self._looked_at: Dict[int, Optional[Process]] = {}
        self._told: Dict[Tuple[str, ...], str] = {}

    def ask(
        self, argv: List[str], timeout: float = 30.0, env: Optional[Dict[str, str]] = None
    ) -> Optional[Any]:
        """What a program answers; None when it cannot be run at all."""
        try:
            return self._run(argv, timeout=timeout, env=env)
        except (HostError, OSError, ValueError):
            return None

    def told(self, argv: List[str]) -> str:
        """What a program says of itself, on both streams; asked once, for it stays the same."""
        key = tuple(argv)
        if key not in self._told:
            answer = self.ask(argv, 10.0)
            self._told[key] = "" if answer is None else _reading.text(answer.stdout + b"\n" + answer.stderr)
        return self._told[key]

    def written(self, program: str, sign: bytes) -> Iterator[str]:
        """The texts in a program's own file that have a sign in them.

        What a program prints of itself often stands there whole, and to read it costs a tenth
        of running it. Of a script there is nothing: its words are not what it prints.
        """
        done = 0  # the place in the program up to which texts were told
        for first, data in _reading.pieces(program, _STEP, _TEXT_LIMIT, _PROGRAM_LIMIT):
            if not first and not data.startswith(_ELF):
                return
            last = _STEP + (_TEXT_LIMIT if first else 0)  # what follows is the next piece's
            at = data.find(sign, max(0, done - first), last + len(sign) - 1)
            while at >= 0:
                start = data.rfind(b"\0", max(0, at - _TEXT_LIMIT), at) + 1
                end = data.find(b"\0", at)
                end = min(len(data) if end < 0 else end, at + _TEXT_LIMIT)
                yield _reading.text(data[start:end])
                done = first + end + 1
                at = data.find(sign, end, last + len(sign) - 1)
            done = max(done, first + last)

    def find(self, names: Sequence[str], folders: Sequence[str] = ()) -> Optional[str]:
        """The first program of these names in the search path or in the folders given.

        Root runs none that another may change.
        """
        for name in names:
            for folder in tuple(self.search) + tuple(folders):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and os.access(path, os.X_OK) and _may_run(path):
                    return path
        return None

    def processes(self, names: Sequence[str]) -> List[Process]:
        """The living processes of these names, by number; those of containers are not ours."""
        every = [self._seen(pid, name) for pid, name in self._called(names)]
        return [process for process in every if process is not None]

    def _seen(self, pid: int, name: str) -> Optional[Process]:
        """A process as it is, or with `still` as it was when it was looked at first."""
        if not self.still:
            return self._process(pid, name)
        if pid not in self._looked_at:
            self._looked_at[pid] = self._process(pid, name)
        return self._looked_at[pid]

    def contained(self, names: Sequence[str]) -> List[int]:
        """The processes of these names that live in containers."""
        return [pid for pid, _name in self._called(names) if self.foreign(pid)]

    def runs(self, names: Sequence[str]) -> bool:
        """Whether any process has one of these names, whosever it is."""
        return bool(self._called(names))

    def has(self, traces: Sequence[str]) -> bool:
        """Whether anything lies here of what is named: programs of the search path, patterns of paths."""
        for trace in traces:
            if "/" not in trace:
                paths = ["%s/%s" % (folder, trace) for folder in self.search]
            elif _reading.has_wildcard(trace):
                paths = _reading.Reader().glob(trace)
            else:
                paths = [trace]
            if any(os.path.lexists(_reading.raw(path)) for path in paths):
                return True
        return False

    def _called(self, names: Sequence[str]) -> List[Tuple[int, str]]:
        """The numbers and names of the processes of these names."""
        every = self._names
        if every is None:
            try:
                numbers = sorted(int(entry) for entry in os.listdir(self.proc) if entry.isdigit())
            except OSError:
                numbers = []
            every = [(pid, self._name(pid)) for pid in numbers]
            self._names = every if self.still else None
        return [(pid, name) for pid, name in every if name in names]

    def masters(self, names: Sequence[str]) -> List[Process]:
        """Those processes of these names that none of the others has started, and that may be believed."""
        return [self._as_started(one) for one in self._first(names) if self.trusted(one, names)]

    def strangers(self, names: Sequence[str]) -> List[Process]:
        """Processes that bear these names but are some user's own: never asked, never obeyed."""
        return [process for process in self._first(names) if not self.trusted(process, names)]

    def _as_started(self, process: Process) -> Process:
        """A process with the command line that it was started with, as far as systemd tells.

        What the kernel shows is the process's own memory. One that root has started and that has
        given root's rights away may have written something else there.
        """
        if os.geteuid() != 0 or process.user == 0 or self._started_by(process) != 0:
            return process
        words = self._told_by_systemd(process)
        return process._replace(arguments=words) if words else process

    def _rights(self, process: Process) -> Optional[int]:
        """The user with whose rights what a process's command line says may be done.

        Those that it was started with, if the words are systemd's or lead only to what is root's;
        else those that it has now: then it gains nothing by what it says.
        """
        started = self._started_by(process)
        if started != 0 or process.user == 0:
            return started
        harmless = all(map(_may_obey, process.arguments[1:]))
        return 0 if harmless or self._told_by_systemd(process) == process.arguments else process.user

    def _told_by_systemd(self, process: Process) -> List[str]:
        """The words with which systemd has started the main process of a service."""
        from . import _units  # noqa: PLC0415 - needed only for those that have given root's rights away

        unit = self.unit(process)
        if unit is None or self._main(unit) != process.pid:
            return []
        words = _units.arguments(self, unit)
        program = os.path.basename(self.executable(process) or "")
        return words if words and os.path.basename(words[0]) == program else []

    def _main(self, unit: str) -> Optional[int]:
        """The main process of a service; 0 where systemd knows none, None where it does not answer."""
        answer = self.ask(["systemctl", "show", "--property=MainPID", unit], 10.0)
        found = None if answer is None else re.search(rb"^MainPID=([0-9]+)$", answer.stdout, re.MULTILINE)
        return None if found is None else int(found.group(1))

    def _is_anothers(self, process: Process, unit: str) -> bool:
        """Whether a process only lies in a service: what was started over ssh does in that of sshd."""
        return self._main(unit) not in (None, 0, process.pid)

    def _first(self, names: Sequence[str]) -> List[Process]:
        found = self.processes(names)
        started = {process.pid for process in found}
        return [process for process in found if process.parent not in started]

    def trusted(self, process: Process, names: Sequence[str]) -> bool:
        """Whether root may run what a process runs, with the arguments that it shows.

        Anybody may call a program of his own "nginx", and anybody may give the system's nginx
        a configuration that loads code or that asks for keys to be put into his folder. Root
        believes only a program of root's with such a name, started by root or by systemd;
        without root's rights there is nothing to gain by a lie.
        """
        if os.geteuid() != 0:
            return True
        path = self.executable(process)
        if path is None:
            return False
        if os.path.basename(path) not in names or not _may_run(path):
            return False
        return self._started_by(process) is not None

    def _started_by(self, process: Process) -> Optional[int]:
        """The user with whose rights a process was started; None where that is anybody's claim."""
        if process.user == 0 or self._has_left_root(process):
            return 0
        unit = self.unit(process)
        answer = None
        if unit is not None:
            answer = self.ask(["systemctl", "show", "--property=MainPID", "--property=User", unit], 10.0)
        said = [] if answer is None else _reading.text(answer.stdout).splitlines()
        if "MainPID=%d" % process.pid not in said:
            return None  # it only runs where a service has started it, as every job of cron does
        return 0 if "User=" in said or "User=root" in said else process.user

    def _has_left_root(self, process: Process) -> bool:
        """Whether a process went into a chroot after its start, which takes root's rights.

        The program of somebody who is locked into a chroot lies inside it; a user namespace
        of his own would let him make one.
        """
        link = "%s/%d/" % (self.proc, process.pid)
        try:
            root, program = os.readlink(link + "root"), os.readlink(link + "exe")
            same = os.readlink(link + "ns/user") == os.readlink(self.proc + "/self/ns/user")
        except OSError:
            return False
        return same and root != "/" and not program.startswith(root.rstrip("/") + "/")

    def may_write_for(self, process: Process, path: str) -> bool:
        """Whether root may write to a file of its own because a process reads it.

        The process must be root's; or it says what systemd has told it, and nobody else may put
        another file there.
        """
        if process.user == 0:
            return True
        heard = self._told_by_systemd(process) == process.arguments
        return heard and _is_roots(path) and _is_roots(_reading.real(path))

    def as_owner(self, process: Optional[Process], argv: List[str]) -> List[str]:
        """A command with the rights that a process was started with: root loads only what is root's."""
        user = 0 if process is None or os.geteuid() != 0 else self._rights(process)
        return (self.as_user(user, argv) if user else None) or argv

    @staticmethod
    def as_user(user: int, argv: List[str]) -> Optional[List[str]]:
        """A command with the rights of a user; None where ours do not let us be him."""
        if os.geteuid() == user:
            return argv
        if os.geteuid() != 0:
            return None
        try:
            return ["runuser", "-u", pwd.getpwuid(user).pw_name, "--"] + argv
        except KeyError:
            return ["setpriv", "--reuid", str(user), "--clear-groups", "--"] + argv

    def _file(self, pid: object, name: str) -> bytes:
        try:
            with open("%s/%s/%s" % (self.proc, pid, name), "rb") as handle:
                return handle.read(_PROC_LIMIT)
        except OSError:
            return b""

    def _name(self, pid: int) -> str:
        return self._file(pid, "comm").decode("utf-8", "replace").rstrip("\n")

    def _process(self, pid: int, name: str) -> Optional[Process]:
        fields = self._status(pid)
        if fields.get("State", "Z")[:1] in ("Z", "X") or self.foreign(pid):
            return None
        words = _reading.text(self._file(pid, "cmdline")).split("\0")
        while words and not words[-1]:
            words.pop()
        try:
            parent, user = int(fields["PPid"]), int(fields["Uid"].split()[0])
        except (KeyError, ValueError, IndexError):
            return None
        return Process(pid, parent, user, name, words)

    def _status(self, pid: object) -> Dict[str, str]:
        lines = self._file(pid, "status").decode("utf-8", "replace").splitlines()
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        return {key: value.strip() for key, value in pairs}

    def foreign(self, pid: int) -> bool:
        """Whether a process lives in a container, where paths and commands mean something else."""
        if self._pid_depth(pid) > self._pid_depth("self"):
            return True
        root = "%s/%d/root" % (self.proc, pid)
        try:
            own_chroot = os.readlink(root) != "/"  # gone into after the daemon had read its files
            theirs, ours = os.stat(root + "/."), os.stat("/")
        except OSError:
            return False
        return not own_chroot and (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino)

    def _pid_depth(self, pid: object) -> int:
        """How many namespaces of process numbers deep a process is; readable without root."""
        return len(self._status(pid).get("NSpid", "").split())

    def executable(self, process: Process) -> Optional[str]:
        """The program that a process runs, or the one that has replaced it on the disk."""
        try:
            path = _reading.text(os.readlink(_reading.raw("%s/%d/exe" % (self.proc, process.pid))))
        except OSError:
            return None
        if path.endswith(" (deleted)"):
            path = path[: -len(" (deleted)")]
        return path if os.path.isfile(_reading.raw(path)) else None

    def folder(self, process: Process) -> Optional[str]:
        """The working directory of a process, unless it has gone into a chroot since."""
        link = "%s/%d/" % (self.proc, process.pid)
        try:
            if os.readlink(link + "root") != "/":
                return None
            return _reading.text(os.readlink(_reading.raw(link + "cwd")))
        except OSError:
            return None

    def environment(self, process: Process) -> Dict[str, str]:
        """The environment that a process was started with; empty when we may not read it."""
        entries = _reading.text(self._file(process.pid, "environ")).split("\0")
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)

    def may_ask_as(self, process: Process) -> bool:
        """Whether our rights are those of a process, so that its program answers us as it would it."""
        return os.geteuid() in (0, process.user)

    def unit(self, process: Process) -> Optional[str]:
        """The systemd service that a process belongs to, where systemd runs this machine."""
        if not os.path.isdir(self.systemd):
            return None
        for line in self._file(process.pid, "cgroup").decode("utf-8", "replace").splitlines():
            _number, controllers, path = (line.split(":", 2) + ["", ""])[:3]
            if controllers not in ("", "name=systemd"):
                continue
            parts = [part for part in path.split("/") if part.endswith(".service")]
            if parts and not parts[0].startswith("user@"):
                return parts[0]
        return None

    def reloads(self, unit: str) -> bool:
        """Whether systemd knows how this service is reloaded."""
        answer = self.ask(["systemctl", "show", "--property=CanReload", unit], 10.0)
        return answer is not None and b"CanReload=yes" in answer.stdout

    def reload_by_systemd(self, process: Process) -> Optional[List[str]]:
        """The command of systemd to reload the service of a process, where it has one."""
        unit = self.unit(process)
        if unit is None or not self.reloads(unit) or self._is_anothers(process, unit):
            return None
        return ["systemctl", "reload", unit]
