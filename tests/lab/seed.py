"""What lies on a host before it starts: plain files and symbolic links, as data."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class SeedFile:
    """One file, or, with a `target`, one symbolic link."""

    path: str
    text: str = ""
    mode: int = 0o644
    group: str = "root"
    target: str | None = None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def link(path: str, target: str) -> SeedFile:
    return SeedFile(path, target=target)


def plant(root: Path, files: list[SeedFile]) -> None:
    """Write the files below `root`; group names are those of that root, not of the machine."""
    groups = _groups(root)
    for file in files:
        place = root / file.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if file.target is not None:
            place.symlink_to(file.target)
            continue
        place.touch(mode=0o600)
        place.write_text(file.text, encoding="utf-8")
        os.chown(place, 0, groups[file.group])
        place.chmod(file.mode)


def _groups(root: Path) -> dict[str, int]:
    lines = (root / "etc/group").read_text(encoding="utf-8").splitlines()
    fields = [line.split(":") for line in lines]
    return {name: int(number) for name, _, number, *_ in fields}
