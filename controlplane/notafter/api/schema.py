"""The shapes that all nouns share: strict input, pages."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

#: Where all nouns are; what a client relies on changes only under another one.
V1 = "/api/v1"

T = TypeVar("T")


class Input(BaseModel):
    """What a client sends: nothing that we do not know."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, str_max_length=100_000)


class Output(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(frozen=True)


class Page(BaseModel, Generic[T]):
    """Some of many; `next` is where the following page begins."""

    items: list[T]
    next: int | None


MOST = 2**31 - 1


def _ordinary(moment: datetime) -> datetime:
    """Refuse a moment that is none in every time zone."""
    if not 1 < moment.year < 9999:  # noqa: PLR2004 -- of datetime
        raise ValueError("a moment of our time is wanted")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_ordinary)]
Id = Annotated[int, Path(ge=1, le=MOST)]
Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[int, Query(ge=0, le=MOST)]
Before = Annotated[int | None, Query(ge=1, le=MOST)]
