"""Which machine it is: its machine id goes with it when it is renamed, and stays with it in a clone."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kin(StrEnum):
    """What two things that bear one machine id are to each other."""

    #: One machine under two names.
    SAME = "same"
    #: Two machines: both lived at one time.
    CLONE = "clone"
    #: One was seen before the other was started, and nothing else tells them apart or together.
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Machine:
    """What was seen of a machine, and between which moments it surely lived."""

    machine_id: str
    boot_id: str | None = None
    booted_at: datetime | None = None
    seen_at: datetime | None = None
    product_uuid: str | None = None
    mac_addresses: frozenset[str] = frozenset()


def kin(one: Machine, other: Machine) -> Kin:
    """Tell whether two sights with one machine id are one machine: the first rung that holds.

    Hardware that differs, or two lives that overlap, are two machines for certain. One boot is one
    machine. After that hardware that is the same speaks for one that was started anew.
    """
    if _differ(one.product_uuid, other.product_uuid):
        return Kin.CLONE
    if one.boot_id is not None and one.boot_id == other.boot_id:
        return Kin.SAME
    if _overlap(one, other):
        return Kin.CLONE
    if one.product_uuid is not None and one.product_uuid == other.product_uuid:
        return Kin.SAME
    if one.mac_addresses and one.mac_addresses == other.mac_addresses:
        return Kin.SAME
    return Kin.UNDECIDED


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _overlap(one: Machine, other: Machine) -> bool:
    """Tell whether both lived at one time: each was started before the other was last seen."""
    if one.boot_id is None or other.boot_id is None:
        return False
    if one.booted_at is None or one.seen_at is None or other.booted_at is None or other.seen_at is None:
        return False
    return one.booted_at < other.seen_at and other.booted_at < one.seen_at
