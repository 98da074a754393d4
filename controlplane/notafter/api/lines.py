"""The log of a job: a page of it, or all of it as it is written."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from starlette.concurrency import run_in_threadpool

from notafter.api import streams
from notafter.api.schema import MOST, V1, After, Id, Limit, Output, Page
from notafter.api.service import Service, ServiceDep, StillIn
from notafter.api.streams import HEARTBEAT, EventStream
from notafter.domain.errors import StoreError
from notafter.domain.job import OPEN_JOB_STATES, JobState
from notafter.store import jobs, lines

router = APIRouter(prefix=f"{V1}/jobs/{{job_id}}/lines", tags=["jobs"])

_POLL_SECONDS = 0.5
_AT_ONCE = 100
#: How often it is looked whether who listens still may.
_DOOR_SECONDS = 20.0


class Line(Output):
    """One line of a job's log."""

    number: int
    at: datetime
    text: str


class End(Output):
    """How the job ended whose log is at its end."""

    state: JobState
    message: str | None


async def place(desk: ServiceDep) -> AsyncIterator[None]:
    """Keep a place for who listens, until they are gone."""
    with desk.streams.place():
        yield


LastEvent = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=MOST)]


@router.get("")
def page(desk: ServiceDep, job_id: Id, after: After = 0, limit: Limit = 200) -> Page[Line]:
    """Show a job's log."""
    with desk.database.read() as session:
        jobs.get(session, job_id)
        rows = lines.of_job(session, job_id, after, limit + 1)
        shown = [Line(number=row.number, at=row.at, text=row.text) for row in rows[:limit]]
    return Page(items=shown, next=shown[-1].number if len(rows) > limit else None)


@router.get(
    "/stream",
    dependencies=[Depends(place)],
    response_class=EventStream,
    status_code=HTTPStatus.OK,
    responses={
        HTTPStatus.OK: {
            "description": "Server-sent events: each line of the log with its number as the id, and `end`",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
def stream(
    desk: ServiceDep, job_id: Id, still_in: StillIn, after: After = 0, last_event_id: LastEvent = None
) -> EventStream:
    """Follow a job's log until the job has ended; who comes again goes on after the last line they had."""
    with desk.database.read() as session:
        jobs.get(session, job_id)
    return EventStream(_Listener(desk, job_id, still_in, last_event_id or after).events())


@dataclass
class _Listener:
    """Somebody who follows a log: which line they had last, and when they were last told anything."""

    desk: Service
    job_id: int
    still_in: Callable[[], bool]
    number: int
    told_at: float = field(default_factory=time.monotonic)
    asked_at: float = field(default_factory=time.monotonic)

    async def events(self) -> AsyncIterator[bytes]:
        """Tell what is new, twice a second; a heartbeat where nothing is."""
        while not self.desk.streams.closing and await self._is_welcome():
            try:
                news, end = await run_in_threadpool(self._look)
            except StoreError:
                return  # they come again by themselves
            for line in news:
                yield streams.event(line.model_dump_json(), number=line.number)
                self.number, self.told_at = line.number, time.monotonic()
            if end is not None:
                yield streams.event(end.model_dump_json(), name="end")
                return
            if time.monotonic() - self.told_at >= streams.HEARTBEAT_SECONDS:
                yield HEARTBEAT
                self.told_at = time.monotonic()
            if len(news) < _AT_ONCE:
                await asyncio.sleep(_POLL_SECONDS)

    async def _is_welcome(self) -> bool:
        if time.monotonic() - self.asked_at < _DOOR_SECONDS:
            return True
        self.asked_at = time.monotonic()
        try:
            return await run_in_threadpool(self.still_in)
        except StoreError:
            return False

    def _look(self) -> tuple[list[Line], End | None]:
        """Return some lines that are new, and the end of the job once there are no more."""
        with self.desk.database.read() as session:
            rows = lines.of_job(session, self.job_id, self.number, _AT_ONCE)
            job = jobs.get(session, self.job_id)
            news = [Line(number=row.number, at=row.at, text=row.text) for row in rows]
            over = len(rows) < _AT_ONCE and job.state not in OPEN_JOB_STATES
            return news, End(state=job.state, message=job.message) if over else None
