"""Opens custody at start: with the key of this database, or not at all."""

from notafter.custody import kek
from notafter.custody.custodian import Custodian, Place
from notafter.custody.kek import Kek, KekSource
from notafter.domain.errors import CustodyError, WrongKey
from notafter.store import canaries
from notafter.store.database import Database, Session
from notafter.store.tables import CanaryRow

_SONG = b"notafter"


def unlock(database: Database, source: KekSource) -> Custodian:
    """Return the custodian; a wrong or missing key is refused before anything is written."""
    with database.read() as session:
        canary = canaries.get(session)
        if canary is not None:
            return _known(canary, source)
    return _first(database, source)


def _known(canary: CanaryRow, source: KekSource) -> Custodian:
    custodian = Custodian(source.load())
    if custodian.key_id != canary.key_id:
        raise WrongKey(
            f"the key-encryption key {source} is not the one of this database:"
            f" it is {custodian.key_id}, the database was sealed with {canary.key_id}",
        )
    try:
        song = custodian.open(canary.sealed, _place(canary))
    except CustodyError as error:
        raise WrongKey(f"the key-encryption key {source} does not open this database") from error
    if song != _SONG:
        raise WrongKey(f"the key-encryption key {source} does not open this database")
    return custodian


def _first(database: Database, source: KekSource) -> Custodian:
    with database.write() as session:
        canary = canaries.get(session)
        if canary is not None:
            return _known(canary, source)
        return _sing(session, source.load() if source.exists() else kek.make(source.path))


def _sing(session: Session, key: Kek) -> Custodian:
    custodian = Custodian(key)
    canary = canaries.add(session, custodian.key_id)
    canary.sealed = custodian.seal(_SONG, _place(canary))
    return custodian


def _place(canary: CanaryRow) -> Place:
    return Place("canary", canary.id, "sealed")
