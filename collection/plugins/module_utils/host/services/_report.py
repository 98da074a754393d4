# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report into which the kinds of server write what they find."""

import functools
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from . import _managers, _material, _reading

if TYPE_CHECKING:
    from ._keystore import Opening

BINDINGS_LIMIT = 100000
WARNINGS_LIMIT = 500
#: The part of what is left for reading a configuration, and for one of several ones.
SHARE = 0.5


class Report:
    """Collects what a scan finds; whoever finds something twice says it once."""

    def __init__(self, reader: _reading.Reader, managers: Optional[_managers.Managers] = None) -> None:
        self.reader = reader
        self.materials = _material.Materials(reader)
        self.managers = managers or _managers.Managers(reader)
        self.bindings: List[Dict[str, Any]] = []
        self.warnings: List[Dict[str, Any]] = []
        self.listening: Dict[str, Set[str]] = {}
        #: By service and file: how keystores are opened. It has passwords in it and goes nowhere.
        self.openings: Dict[Tuple[str, str], List["Opening"]] = {}
        self.unsaid = 0
        self.cut: Optional[_reading.Exhausted] = None
        self._said: Set[Tuple[str, Optional[str], Optional[int]]] = set()

    def warning(self, message: str, file: Optional[str] = None, line: Optional[int] = None) -> None:
        """Notes something that a reader of the report must know."""
        key = (message, file, line)
        if key in self._said:
            return
        if len(self.warnings) >= WARNINGS_LIMIT:
            self.unsaid += 1
            return
        self._said.add(key)
        place = None if file is None else _reading.shown(file)
        self.warnings.append({"file": place, "line": line, "message": _reading.shown(message)[:1000]})

    def listens(self, service: str, listeners: Iterable[str]) -> None:
        """Notes where a server listens, with TLS or without."""
        self.listening.setdefault(service, set()).update(map(_reading.shown, listeners))

    def partly(self, work: Callable[[], object], share: float = SHARE) -> bool:
        """Does work within a share of what is left; whether it came to its end.

        What ended it is kept as `cut`: what was read until then is reported first.
        """
        cut = self.reader.partly(share, work)
        self.cut = self.cut or cut
        return cut is None

    def in_turn(self, work: Callable[[Any], object], ones: Sequence[Any]) -> None:
        """Does work on one after the other: one without an end takes nothing of those after it."""
        for left, one in zip(range(len(ones), 0, -1), ones):
            self.partly(functools.partial(work, one), 1.0 if left == 1 else SHARE)

    def binding(  # noqa: PLR0913, PLR0917 - the fields of a binding; all but the first four by name
        self,
        service: str,
        config_file: str,
        line: int,
        certificate: Optional[str],
        key: Optional[str] = None,
        chain: Optional[str] = None,
        names: Iterable[str] = (),
        listeners: Iterable[str] = (),
        problems: Sequence[Tuple[str, str]] = (),
        managed_by: Optional[str] = None,
        proven: bool = False,
        own_names: bool = False,
        keystore: Optional["Opening"] = None,
        keyless: bool = False,
        held: Sequence[bytes] = (),
    ) -> None:
        """Notes a certificate that a configuration names, with what its files say of it.

        Without `key` the private key is looked for in the certificate's own file. A
        `certificate` of None is one that could not be found out: then `problems` say why.
        `proven` is true where the server itself has just shown that the key fits, `own_names`
        where the server chooses by the names in the certificates: then a binding without names
        gets them on the controller, and the first binding of a listener with a name has it.
        With `keystore` the certificate's file is one, to be opened so; `keyless` is a file whose
        key is nowhere to be found. `held` is for a server that keeps certificates in a store of its own:
        they themselves (DER, the leaf first), for no file has this one alone.
        """
        self.reader.tick()
        if len(self.bindings) >= BINDINGS_LIMIT:
            raise _reading.Exhausted("the configuration names too many certificates")
        place = self.materials.held(held)
        if certificate is not None:
            certificate = _reading.tidy(certificate)
            key = certificate if key is None else _reading.tidy(key)
            if keystore is not None:
                opened = self.openings.setdefault((service, self.reader.real(certificate)), [])
                opened.append(keystore)
                place = self.materials.keystore_place(certificate, keystore)
            else:
                own_key = None if keyless else key
                place = self.materials.place(certificate, own_key, chain and _reading.tidy(chain), proven)
            managed_by = managed_by or self.managers.of([certificate, key])
        self.bindings.append(
            {
                "service": service,
                "config_file": _reading.shown(config_file),
                "line": line,
                "names": [_reading.shown(name) for name in names],
                "own_names": own_names,
                "listeners": [_reading.shown(one) for one in listeners],
                "files": place.files,
                "certificate": place.leaf,
                "chain": place.chain,
                "managed_by": managed_by,
                "problems": [
                    {"kind": kind, "message": _reading.shown(message)}
                    for kind, message in list(problems) + place.problems
                ],
            }
        )
