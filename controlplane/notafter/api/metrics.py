"""Figures for Prometheus: what the database says at the moment of asking, and how long requests took."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from notafter.api.service import ServiceDep
from notafter.store import figures
from notafter.store.database import Session

router = APIRouter(tags=["health"])

_DAY = timedelta(days=1)


class _Stored(Collector):
    """Figures of one moment of the database."""

    def __init__(self, session: Session, now: datetime, ticked_at: datetime | None) -> None:
        self.session = session
        self.now = now
        self.ticked_at = ticked_at

    @override
    def collect(self) -> Iterator[Metric]:
        counts = figures.days_left(self.session, self.now)
        yield _gauge(
            "notafter_certificates", "Adopted certificates, by the days that are left.", "days", counts
        )
        yield GaugeMetricFamily(
            "notafter_certificates_overdue",
            "Adopted certificates whose time to be renewed has come.",
            value=figures.overdue(self.session, self.now),
        )
        failures = figures.failures(self.session, self.now - _DAY)
        yield _gauge("notafter_failures", "Items that failed in the last day, by reason.", "reason", failures)
        yield _gauge("notafter_jobs", "Jobs that wait or run.", "state", figures.jobs(self.session))
        oldest = figures.oldest_queued_at(self.session)
        yield GaugeMetricFamily(
            "notafter_queue_age_seconds",
            "How long the oldest job has waited.",
            value=(self.now - oldest).total_seconds() if oldest else 0,
        )
        seen = figures.servers(self.session)
        yield _gauge("notafter_servers", "Servers, by whether they were reached.", "presence", seen)
        if self.ticked_at is not None:
            yield GaugeMetricFamily(
                "notafter_scheduler_silence_seconds",
                "How long ago this process last compared what should be with what is.",
                value=(self.now - self.ticked_at).total_seconds(),
            )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(desk: ServiceDep) -> Response:
    """Give figures in the text format of Prometheus."""
    stored = CollectorRegistry()
    with desk.database.read() as session:
        stored.register(_Stored(session, desk.clock(), desk.pulse.ticked_at))
        text = generate_latest(stored)
    return Response(text + generate_latest(desk.stopwatch.registry), media_type=CONTENT_TYPE_LATEST)


def _gauge(name: str, help_text: str, label: str, counts: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
