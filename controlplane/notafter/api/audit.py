"""The audit: who did what, when and from where."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from notafter.api.schema import V1, Before, Limit, Moment, Output, Page
from notafter.api.service import ServiceDep
from notafter.domain.audit import Action
from notafter.store import audit
from notafter.store.audit import Wanted
from notafter.store.tables import AuditRow

router = APIRouter(prefix=f"{V1}/audit", tags=["audit"])

Text = Annotated[str | None, Query(min_length=1, max_length=300)]


class Entry(Output):
    """One thing that was done; `link` chains it to all before it."""

    number: int
    at: datetime
    who: str
    address: str
    action: Action
    subject: str
    detail: dict[str, Any]
    link: str


@router.get("")
def page(  # noqa: PLR0913, PLR0917 -- one parameter a filter
    desk: ServiceDep,
    who: Text = None,
    action: Action | None = None,
    subject: Text = None,
    since: Moment | None = None,
    until: Moment | None = None,
    before: Before = None,
    limit: Limit = 50,
) -> Page[Entry]:
    """List what was done, the newest first."""
    wanted = Wanted(who, action, subject, since, until)
    with desk.database.read() as session:
        rows = audit.page(session, wanted, before, limit + 1)
        shown = [_shown(row) for row in rows[:limit]]
    return Page(items=shown, next=shown[-1].number if len(rows) > limit else None)


def _shown(row: AuditRow) -> Entry:
    return Entry(
        number=row.number,
        at=row.at,
        who=row.who,
        address=row.address,
        action=row.action,
        subject=row.subject,
        detail=row.detail,
        link=row.link,
    )
