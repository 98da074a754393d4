"""The places where the programs can be killed on request, as they stand in the code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from typing_extensions import override

TREE = Path(__file__).parents[2]
PLANE = TREE / "controlplane" / "notafter"
HOST = TREE / "collection" / "plugins" / "module_utils" / "host"
_CALL = re.compile(r'(?<!def )(?:state\.)?\bfailpoint\("([^"]+)"')


class Stage(StrEnum):
    """When in the life of a certificate a place is passed."""

    PLANE = "control plane"  #: between due and recorded, in the process that serves
    RECOVERY = "recovery"  #: when a control plane finds what another one has left
    DUE = "due"  #: when nobody has asked: the clockwork itself makes the job
    RUN = "run"  #: in the process that carries a run of Ansible
    SIGN = "sign"  #: on the issuer
    DEPLOY = "deploy"  #: on a server
    RESTORE = "restore"  #: on a server whose new files are taken back
    ELSEWHERE = "elsewhere"  #: not in a renewal of a control plane: a test names it


#: By the beginning of a name, else by its file.
_BY_NAME = {
    "recovery.": Stage.RECOVERY,
    "keys.": Stage.ELSEWHERE,
    "backup.": Stage.ELSEWHERE,
    "due.": Stage.DUE,
    "process.": Stage.RUN,
    "restor": Stage.RESTORE,
    "put-back": Stage.RESTORE,
}
_BY_FILE = {
    "sign.py": Stage.SIGN,
    "acme_sh.py": Stage.SIGN,
    "deploy.py": Stage.DEPLOY,
    "transaction.py": Stage.DEPLOY,
}


@dataclass(frozen=True, order=True)
class Marker:
    """One such place; `%d` in its name is the number of a file."""

    stage: Stage
    name: str

    @override
    def __str__(self) -> str:
        return self.name


def markers() -> list[Marker]:
    """All of them."""
    found = [Marker(_plane_stage(name), name) for _path, name in _calls(PLANE)]
    found += [Marker(_host_stage(path, name), name) for path, name in _calls(HOST)]
    return sorted(set(found))


def of(*stages: Stage) -> list[Marker]:
    """Those of some stages."""
    return [marker for marker in markers() if marker.stage in stages]


def _calls(folder: Path) -> list[tuple[Path, str]]:
    paths = sorted(folder.rglob("*.py"))
    return [(path, name) for path in paths for name in _CALL.findall(path.read_text("utf-8"))]


def _named(name: str) -> Stage | None:
    return next((stage for start, stage in _BY_NAME.items() if name.startswith(start)), None)


def _plane_stage(name: str) -> Stage:
    return _named(name) or Stage.PLANE


def _host_stage(path: Path, name: str) -> Stage:
    return _named(name) or _BY_FILE.get(path.name) or Stage.ELSEWHERE
