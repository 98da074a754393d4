"""Column types that refuse what SQLite would silently take."""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import DateTime, Dialect, Enum, SmallInteger, Text
from sqlalchemy.types import TypeDecorator
from typing_extensions import override


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware in Python, UTC in the database."""

    impl = DateTime
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store the moment in UTC; a naive one is a mistake."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the moment its zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class PlainText(TypeDecorator[str]):
    """Text that every database takes: without NUL, which PostgreSQL refuses, and without half characters."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Put a replacement character where there is something that is none."""
        return None if value is None else plain(value)


def plain(text: str) -> str:
    """Return a text as every database keeps it: with a replacement for what is no character."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class Ranked(TypeDecorator[StrEnum]):
    """A member of an enum as its number in it, so that a database sorts as the enum does."""

    impl = SmallInteger
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        """Take the enum, whose order must not change."""
        super().__init__()
        self.kind = kind

    @override
    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> int | None:
        """Store the number."""
        return None if value is None else list(self.kind).index(value)

    @override
    def process_result_value(self, value: int | None, dialect: Dialect) -> StrEnum | None:
        """Give the member back."""
        return None if value is None else list(self.kind)[value]


def ranked(kind: type[StrEnum]) -> Ranked:
    """Return a column type that sorts as the members of an enum stand in it."""
    return Ranked(kind)


def states(kind: type[StrEnum]) -> Enum:
    """Return a column type that holds the values of an enum as text, and nothing else."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )
