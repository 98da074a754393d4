"""The key-encryption key: it lives outside the database, in a file of its own or the environment."""

import base64
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from notafter.domain.errors import WrongKey

SIZE = 32
_PRIVATE = 0o077


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
    return kek


@dataclass(frozen=True)
class KekSource:
    """Where the key comes from: a file, or the environment instead of it."""

    path: Path
    text: str | None = field(default=None, repr=False)

    def exists(self) -> bool:
        """Tell whether there is a key to be loaded."""
        return self.text is not None or self.path.exists()

    def load(self) -> Kek:
        """Return the key."""
        return decode(self.text, "NOTAFTER_KEK") if self.text is not None else load(self.path)

    @override
    def __str__(self) -> str:
        """Name the source, for messages."""
        return "NOTAFTER_KEK" if self.text is not None else str(self.path)
