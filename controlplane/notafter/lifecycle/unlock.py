"""Opens custody at start: with the keys of this database, or not at all."""

from notafter.custody import kek
from notafter.custody.custodian import Custodian, Place
from notafter.custody.kek import Kek, KekSource
from notafter.domain.errors import CustodyError, WrongKey
from notafter.store import canaries
from notafter.store.database import Database, Session
from notafter.store.tables import CanaryRow

_SONG = b"notafter"


def require(database: Database, source: KekSource) -> None:
    """Refuse a wrong key before anything is written, a migration neither."""
    if source.exists():
        source.load()
    if database.is_there():
        with database.read() as session:
            _known(canaries.everyone(session), source)


def unlock(database: Database, source: KekSource) -> Custodian:
    """Return the custodian; a wrong or missing key is refused before anything is written."""
    with database.read() as session:
        found = _known(canaries.everyone(session), source)
    return found or _first(database, source)


def still_fits(session: Session, custodian: Custodian) -> None:
    """Refuse to go on without a key that a rotation has brought meanwhile."""
    for canary in canaries.everyone(session):
        if not custodian.holds(canary.key_id):
            raise WrongKey(f"the database has the key {canary.key_id} by now: restart with it")


def sing(session: Session, key: Kek) -> None:
    """Give a key its canary."""
    canary = canaries.add(session, key.id)
    canary.sealed = Custodian(key).seal(_SONG, _place(canary))


def _known(found: list[CanaryRow], source: KekSource) -> Custodian | None:
    """Return the custodian of a database that has canaries, each of which must sing."""
    if not found:
        return None
    custodian = Custodian(_fitting(found, source), source)
    for canary in found:
        if not custodian.holds(canary.key_id):
            raise WrongKey(_missing(canary.key_id, custodian.key_id, source))
        _listen(custodian, canary, source)
    return custodian


def _fitting(found: list[CanaryRow], source: KekSource) -> Kek:
    """Return the key to seal with; where keys cannot change by themselves, the one to follow may be it."""
    known = [canary.key_id for canary in found]
    key = source.load()
    if key.id in known:
        return key
    following = None if source.in_file else source.next()
    if following is None or following.id not in known:
        raise WrongKey(_missing(known[-1], key.id, source))
    return following


def _missing(wanted: str, has: str, source: KekSource) -> str:
    elsewhere = source.where(wanted)
    return (
        f"the key-encryption key {source} is not the one of this database:"
        f" it is {has}, the database was sealed with {wanted}"
    ) + (f", which {elsewhere} holds" if elsewhere else "")


def _listen(custodian: Custodian, canary: CanaryRow, source: KekSource) -> None:
    try:
        song = custodian.open(canary.sealed, _place(canary))
    except CustodyError as error:
        raise WrongKey(f"the key-encryption key {source} does not open this database") from error
    if song != _SONG:
        raise WrongKey(f"the key-encryption key {source} does not open this database")


def _first(database: Database, source: KekSource) -> Custodian:
    with database.write() as session:
        known = _known(canaries.everyone(session), source)
        if known is not None:
            return known
        key = source.load() if source.exists() else kek.make(source.path)
        sing(session, key)
    return Custodian(key, source)


def _place(canary: CanaryRow) -> Place:
    return Place("canary", canary.id, "sealed")
