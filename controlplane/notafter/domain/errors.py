"""Everything that can go wrong and that somebody can act upon, as one tree.

NotafterError
├── InvalidInput             what a person or a client gave cannot be used
│   ├── InvalidName          not a DNS name, or not an inventory name
│   ├── KeyUsedOtherwise     an Idempotency-Key came with another request before
│   └── UnreadableCertificate
├── NotFound
├── Conflict                 the wish does not fit the present state
│   ├── IllegalMove          a state machine has no such move
│   ├── StillAtWork          the same request is being processed
│   └── AnswerNotKept        it was done; its answer is said only once
├── NotAuthenticated
├── NotAllowed               we know who asks, and they may not
├── TooManyAttempts          too many wrong passwords: wait
├── TooManyStreams           as many listen as can
├── ClaimLost                another worker holds the job now: stop writing
├── StoreError
│   ├── DatabaseTooNew
│   ├── DatabaseNotReady
│   └── DatabaseNotWritable  for now: what was not written may be tried again
│       ├── DatabaseBusy     somebody else holds it
│       ├── DatabaseAway     it does not answer, or only reads just now
│       └── DatabaseFull     its disk has no room
├── AuditBroken              the record of who did what is not as it was written
├── CustodyError
│   ├── WrongKey             the key-encryption key is not the one of this database
│   │   └── KeyRetired       it was, until a rotation: what it seals is not taken any more
│   └── SealBroken           a sealed value was changed, moved or cut
├── BackupUnusable           a back-up was cut off or changed, or is of another version
├── CaError
│   ├── CaUnreachable
│   ├── NotADirectory
│   └── OutOfReach           its address leads where no CA is expected
├── RunnerError              Ansible could not be started
└── SettingsError            a setting is wrong; the process does not start
"""


class NotafterError(Exception):
    """Something that notafter knows how to name."""


class InvalidInput(NotafterError):
    """What was given cannot be used."""


class InvalidName(InvalidInput):
    """A name breaks the rules for names of its kind."""


class KeyUsedOtherwise(InvalidInput):
    """An Idempotency-Key came with another request before."""


class UnreadableCertificate(InvalidInput):
    """The bytes are no certificate that can be understood."""


class NotFound(NotafterError):
    """There is no such thing."""


class Conflict(NotafterError):
    """The wish does not fit the present state."""


class IllegalMove(Conflict):
    """A state machine has no such move."""


class StillAtWork(Conflict):
    """The same request, with the same Idempotency-Key, is being processed."""


class AnswerNotKept(Conflict):
    """The same request was done; its answer is said only once."""


class NotAuthenticated(NotafterError):
    """No token, or one that does not open this door."""


class NotAllowed(NotafterError):
    """We know who asks, and they may not do this."""


class TooManyAttempts(NotafterError):
    """Too many wrong passwords came from there, or for this name."""

    def __init__(self, message: str, seconds: int) -> None:
        """Say in how many seconds another one is looked at."""
        super().__init__(message)
        self.seconds = seconds


class TooManyStreams(NotafterError):
    """As many listen to what happens as can."""


class ClaimLost(NotafterError):
    """Another worker holds this job now, or it has ended."""


class StoreError(NotafterError):
    """The database cannot be used."""


class DatabaseTooNew(StoreError):
    """A newer notafter has written this database."""


class DatabaseNotReady(StoreError):
    """The database is missing, or older than this program."""


class DatabaseNotWritable(StoreError):
    """Nothing can be written now; trying again later may go well."""


class DatabaseBusy(DatabaseNotWritable):
    """Somebody else has held the database for too long."""


class DatabaseAway(DatabaseNotWritable):
    """The database does not answer, or takes nothing just now: a restart, a failover."""


class DatabaseFull(DatabaseNotWritable):
    """The disk of the database has no room."""


class AuditBroken(NotafterError):
    """The record of who did what is not as it was written."""


class CustodyError(NotafterError):
    """A secret cannot be sealed or opened."""


class WrongKey(CustodyError):
    """The key-encryption key is not the one of this database."""


class KeyRetired(WrongKey):
    """The key was exchanged: what is sealed with it is not taken any more."""


class SealBroken(CustodyError):
    """A sealed value was changed, moved to another row, or cut."""


class BackupUnusable(NotafterError):
    """A back-up was cut off or changed, or another version must read it."""


class CaError(NotafterError):
    """A certificate authority did not answer as it must."""


class CaUnreachable(CaError):
    """No answer from the certificate authority."""


class NotADirectory(CaError):
    """The address answers, but not with an ACME directory."""


class OutOfReach(CaError):
    """The address leads beside us, where no CA is expected."""


class RunnerError(NotafterError):
    """Ansible could not be started."""


class SettingsError(NotafterError):
    """A setting is wrong."""
