"""A certificate is public; its key goes only where an operator has adopted the place."""

from datetime import UTC, datetime

from notafter.domain.deployment import Sync, sync
from notafter.lifecycle import request
from notafter.store import certificates, deployments

from tests.factories import binding
from tests.integration.controlplane.stage import Stage


def test_a_server_that_shows_the_certificate_later_is_not_given_its_key(stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    stage.adopt_all()
    stage.found("evil", (pem, binding(pem)))
    with stage.database.write() as session:
        job = request.renew(session, [1], "ops", datetime.now(UTC))
        session.flush()
        session.refresh(job)
        assert {item.deployment.server.name for item in job.items if item.deployment} == {"web1"}
    with stage.database.read() as session:
        places = {place.server.name: place for place in certificates.get(session, 1).deployments}
        assert sync(deployments.facts(session, places["evil"])) is Sync.UNMANAGED
        assert places["evil"] not in deployments.behind(session, datetime.now(UTC))
