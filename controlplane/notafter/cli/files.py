"""Files that commands read: a wrong one is refused by its name."""

from pathlib import Path

from notafter.domain.errors import InvalidInput

_PRIVATE = 0o077


def text_of(path: Path) -> str:
    """Return what a file holds."""
    try:
        return path.expanduser().read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error


def private_text(path: Path) -> str:
    """Return what a file holds that nobody else can read."""
    if path.exists() and path.stat().st_mode & _PRIVATE:
        raise InvalidInput(f"{path} can be read by others: chmod 0600 {path}")
    return text_of(path)
