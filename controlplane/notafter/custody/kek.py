"""The key-encryption key: outside the database, in a file, the environment, or what a command prints."""

import base64
import contextlib
import hashlib
import os
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from typing_extensions import override

from notafter.domain.errors import WrongKey
from notafter.failpoint import failpoint

SIZE = 32
_PRIVATE = 0o077
_COMMAND_SECONDS = 30


@dataclass(frozen=True)
class Kek:
    """A key that seals data keys; its id says which one without telling anything about it."""

    material: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """A short name derived from the key."""
        return hashlib.sha256(b"notafter key id|" + self.material).hexdigest()[:12]


def decode(text: str, source: str) -> Kek:
    """Return the key from its written form."""
    try:
        material = base64.b64decode(text.strip(), validate=True)
    except ValueError as error:
        raise WrongKey(f"{source} holds no key-encryption key: it is not base64") from error
    if len(material) != SIZE:
        raise WrongKey(f"{source} holds no key-encryption key: {SIZE} bytes are needed, not {len(material)}")
    return Kek(material)


def load(path: Path) -> Kek:
    """Return the key of a file that nobody else can read."""
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii")
    except FileNotFoundError as error:
        raise WrongKey(
            f"the key-encryption key {path} is missing: put it back,"
            " without it no key of this database can be opened",
        ) from error
    except (OSError, ValueError) as error:
        raise WrongKey(f"the key-encryption key {path} cannot be read: {error}") from error
    if mode & _PRIVATE:
        raise WrongKey(f"the key-encryption key {path} can be read by others: chmod 0600 {path}")
    return decode(text, str(path))


def make(path: Path) -> Kek:
    """Make a new key; an existing file is never touched."""
    kek = Kek(secrets.token_bytes(SIZE))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise WrongKey(f"the key-encryption key {path} cannot be made: {error.strerror}") from error
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(kek.material) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)
    return kek


def sync(folder: Path) -> None:
    """Wait until what was renamed in a folder is on its disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def ask(command: str, source: str) -> Kek:
    """Return the key that a command prints; of what it says nothing is ever repeated."""
    try:
        done = subprocess.run(
            shlex.split(command) or [""],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WrongKey(f"the command of {source} has not ended after {_COMMAND_SECONDS} s") from None
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or "it is no command line"
        raise WrongKey(f"the command of {source} cannot be run: {told}") from None
    if done.returncode:
        raise WrongKey(f"the command of {source} ended with {done.returncode}")
    return decode(done.stdout.decode("ascii", "replace"), f"the command of {source}")


@dataclass(frozen=True)
class KekSource:
    """Where the key comes from, and the one that is to follow it: a file, or something instead of it."""

    path: Path
    text: str | None = field(default=None, repr=False)
    command: str | None = field(default=None, repr=False)
    next_text: str | None = field(default=None, repr=False)
    next_command: str | None = field(default=None, repr=False)

    @property
    def in_file(self) -> bool:
        """Tell whether the key is a file."""
        return self.text is None and self.command is None

    @property
    def next_in_file(self) -> bool:
        """Tell whether the key that follows is a file, beside this one."""
        return self.in_file and self.next_text is None and self.next_command is None

    @property
    def next_path(self) -> Path:
        """The file of the key that is to follow."""
        return self.path.with_name(f"{self.path.name}.next")

    def exists(self) -> bool:
        """Tell whether there is a key to be loaded."""
        return not self.in_file or self.path.exists()

    def load(self) -> Kek:
        """Return the key."""
        return self._fixed or load(self.path)

    def fresh(self) -> Kek | None:
        """Return what the file holds by now; None where the key cannot change, or cannot be read."""
        if not self.in_file:
            return None
        try:
            return load(self.path)
        except WrongKey:
            return None

    def next(self) -> Kek | None:
        """Return the key that is to follow, if there is one."""
        if self._fixed_next is not None:
            return self._fixed_next
        return load(self.next_path) if self.next_in_file and self.next_path.exists() else None

    def find(self, key_id: str) -> Kek | None:
        """Return the key of that id, wherever it is."""
        return next((kek for _, kek in self._all() if kek.id == key_id), None)

    def where(self, key_id: str) -> str | None:
        """Name what holds the key of that id."""
        return next((name for name, kek in self._all() if kek.id == key_id), None)

    def former(self) -> list[Path]:
        """Return the files of the keys that were there before."""
        return sorted(self.path.parent.glob(f"{self.path.name}.old-*"))

    def make_next(self) -> Kek:
        """Return the key that is to follow; where keys are files it is made."""
        found = self.next()
        if found is not None:
            return found
        if not self.next_in_file:
            raise WrongKey(
                f"the key comes from {self}: set NOTAFTER_KEK_NEXT or NOTAFTER_KEK_NEXT_COMMAND to the one"
                " that is to follow (`openssl rand -base64 32` makes one)",
            )
        return make(self.next_path)

    def promote(self, kek: Kek) -> None:
        """Let the key that was to follow be the key; the file always holds one, the former keeps a name."""
        if not self.next_in_file or load(self.path).id == kek.id:
            return
        kept = self.path.with_name(f"{self.path.name}.old-{load(self.path).id}")
        with contextlib.suppress(FileExistsError):
            os.link(self.path, kept)
        sync(self.path.parent)
        failpoint("keys.linked")
        self.next_path.replace(self.path)
        sync(self.path.parent)

    @override
    def __str__(self) -> str:
        """Name the source, for messages."""
        if self.in_file:
            return str(self.path)
        return "NOTAFTER_KEK" if self.text is not None else "NOTAFTER_KEK_COMMAND"

    @property
    def next_name(self) -> str:
        """Name the source of the key that is to follow."""
        if self.next_in_file:
            return str(self.next_path)
        return "NOTAFTER_KEK_NEXT" if self.next_text is not None else "NOTAFTER_KEK_NEXT_COMMAND"

    @cached_property
    def _fixed(self) -> Kek | None:
        return _given(self.text, self.command, str(self))

    @cached_property
    def _fixed_next(self) -> Kek | None:
        return _given(self.next_text, self.next_command, self.next_name)

    def _all(self) -> Iterator[tuple[str, Kek]]:
        """Return each key that can be read, with what holds it."""
        with contextlib.suppress(WrongKey):
            yield str(self), self.load()
        with contextlib.suppress(WrongKey):
            found = self.next()
            if found is not None:
                yield self.next_name, found
        for path in self.former():
            with contextlib.suppress(WrongKey):
                yield str(path), load(path)


def _given(text: str | None, command: str | None, source: str) -> Kek | None:
    if text is not None:
        return decode(text, source)
    return ask(command, source) if command is not None else None
