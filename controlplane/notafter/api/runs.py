"""Runs that somebody else started: what they tell, and in time what the agent tells."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from notafter.api.schema import V1, Input, Output
from notafter.api.service import ServiceDep, VisitorDep
from notafter.domain.audit import Action
from notafter.lifecycle.record.report import Told, report
from notafter.runner import events

router = APIRouter(prefix=f"{V1}/runs", tags=["runs"])

Module = Literal[
    "notafter.tls.acme_sh_certificate",
    "notafter.tls.certificate_deploy",
    "notafter.tls.certificate_probe_info",
    "notafter.tls.certificate_scan_info",
]


class OutcomeReport(Input):
    """One documented result of one of our modules."""

    number: Annotated[int, Field(ge=0, lt=2**31)]
    host: Annotated[str, Field(min_length=1, max_length=253)]
    module: Module
    failed: bool = False
    result: dict[str, Any]


class RunReport(Input):
    """A run, by the name that it gave itself, and some of its outcomes or all."""

    run: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    playbook: Annotated[str | None, Field(max_length=200)] = None
    outcomes: Annotated[list[OutcomeReport], Field(max_length=1000)]


class Left(Output):
    """What was not put on record, and why."""

    number: int
    reason: str


class Receipt(Output):
    """What became of what was told; `known` was told before."""

    job: int
    recorded: int
    known: int
    left: list[Left]


@router.post("")
def tell(desk: ServiceDep, who: VisitorDep, wish: RunReport) -> Receipt:
    """Take what a run tells; telling the same again changes nothing."""
    told = [Told(one.number, one.module, events.outcome(_event(one))) for one in wish.outcomes]
    playbook = events.clean(wish.playbook) if wish.playbook else None
    door = desk.recorded(who, Action.RUN_TOLD, wish.run, {"outcomes": len(told)})
    receipt = report(door, wish.run, playbook, told, who.name, desk.clock())
    if receipt.recorded:
        desk.wake()
    return Receipt(
        job=receipt.job_id,
        recorded=receipt.recorded,
        known=receipt.known,
        left=[Left(number=one.number, reason=one.reason) for one in receipt.left],
    )


def _event(one: OutcomeReport) -> dict[str, Any]:
    """Return an outcome as Ansible tells of it in a run of ours: there is one reader for all."""
    data = {"host": one.host, "resolved_action": one.module, "res": one.result}
    return {"event": "runner_on_failed" if one.failed else "runner_on_ok", "event_data": data}
