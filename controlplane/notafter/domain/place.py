"""A place: all bindings of one service on one server that name the same certificate file.

A keystore has a certificate for each of its aliases: each is a place of its own. So is a certificate
that a server has got by itself and keeps in its own store: nothing can be written there, but its end
is somebody's concern like any other's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from notafter.domain.deployment import LEAF_KINDS
from notafter.domain.difference import Sight, own_sights
from notafter.domain.outcome import Binding, FoundFile

Key = tuple[str, str]


@dataclass(frozen=True)
class Place:
    """What becomes a deployment; its names are all served on all of its listeners."""

    service: str
    path: str
    config_file: str
    line: int | None
    names: tuple[str, ...]
    listeners: tuple[str, ...]
    files: tuple[FoundFile, ...]
    fingerprint: str | None
    managed_by: str | None
    problems: tuple[tuple[str, str], ...]
    sights: tuple[Sight, ...] = ()


def places(bindings: Iterable[Binding]) -> dict[Key, Place]:
    """Return the places by service and path; a binding without a certificate file is none."""
    groups: dict[Key, list[Binding]] = {}
    for binding in bindings:
        path = leaf_path(binding)
        if path is not None:
            groups.setdefault((binding.service, path), []).append(binding)
    return {key: _merged(key, group) for key, group in groups.items()}


def joined(first: Place, second: Place) -> Place:
    """Make one place of what two pages say of it; the rule is that of bindings that share a file."""
    if set(first.listeners) == set(second.listeners):
        speaking = replace(first, names=tuple(dict.fromkeys(first.names + second.names)))
    else:
        speaking = max(first, second, key=lambda one: len(one.names))
    return replace(
        speaking,
        files=tuple({(file.path, file.kind): file for file in first.files + second.files}.values()),
        fingerprint=first.fingerprint or second.fingerprint,
        managed_by=first.managed_by or second.managed_by,
        problems=tuple(dict.fromkeys(first.problems + second.problems)),
        sights=tuple(dict.fromkeys(first.sights + second.sights)),
    )


def leaf_path(binding: Binding) -> str | None:
    """Return what a binding's place is known by: the file that holds its certificate.

    Of a keystore it is `/a.p12#shop`, the file with the alias of the entry; of a server's own store
    `/acme.json#shop.example`, the store with the first name, which is the same after each renewal.
    """
    file = next((file for file in binding.files if file.kind in LEAF_KINDS), None)
    if file is None:
        own = binding.fingerprint is not None and not binding.files and binding.names
        return f"{binding.config_file}#{binding.names[0]}" if own else None
    return file.path if file.alias is None else f"{file.path}#{file.alias}"


def _merged(key: Key, group: list[Binding]) -> Place:
    """Make one place of bindings that share a file.

    Every name is asked for at every listener when a deploy is verified, so only bindings
    with the same listeners are joined; where they differ, those with the most names speak.
    """
    by_listeners: dict[frozenset[str], list[Binding]] = {}
    for binding in group:
        by_listeners.setdefault(frozenset(binding.listeners), []).append(binding)
    speaking = max(by_listeners.values(), key=lambda some: len(_names(some)))
    first = speaking[0]
    return Place(
        service=key[0],
        path=key[1],
        config_file=first.config_file,
        line=first.line,
        names=_names(speaking),
        listeners=first.listeners,
        files=tuple({(file.path, file.kind): file for one in group for file in one.files}.values()),
        fingerprint=next((one.fingerprint for one in group if one.fingerprint), None),
        managed_by=next((one.managed_by for one in group if one.managed_by), None),
        problems=tuple(dict.fromkeys(problem for one in group for problem in one.problems)),
        sights=tuple(dict.fromkeys(sight for one in group for sight in own_sights(one.sights, one.names))),
    )


def _names(group: list[Binding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for binding in group for name in binding.names))
