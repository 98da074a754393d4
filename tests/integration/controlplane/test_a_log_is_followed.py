"""The log of a job as it is written: server-sent events."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from notafter.api import application, streams
from notafter.api import lines as api
from notafter.domain.user import Right, Role
from notafter.lifecycle import request
from notafter.runner import results
from notafter.store import lines, tokens, users

from tests.factories import scan_result
from tests.integration.controlplane.stage import Stage, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from notafter.api.service import Service
    from notafter.store.jobs import Claim

    from tests.integration.controlplane.people import People


def running(stage: Stage, number: int = 0) -> Claim:
    """A job that goes on, with so many lines in its log."""
    with stage.database.write() as session:
        request.scan(session, ["web1"], "test", stage.clock())
    claim = stage.claim()
    say(stage, claim, *(f"line {one}" for one in range(1, number + 1)))
    return claim


def say(stage: Stage, claim: Claim, *texts: str) -> None:
    with stage.database.write() as session:
        lines.add(session, claim.job_id, texts, stage.clock())


def end(stage: Stage, claim: Claim) -> None:
    stage.report(claim, results.scanned("web1", scan_result()))


class Listener:
    """What comes in a stream, read in a thread of its own as a browser does."""

    def __init__(self, client: httpx.Client, job: int, **asked: Any) -> None:
        self.events: list[dict[str, str]] = []
        self.heartbeats = 0
        self.status = 0
        self.over = False
        self.leave = threading.Event()
        self.thread = threading.Thread(target=self._read, args=(client, job, asked))
        self.thread.start()

    def _read(self, client: httpx.Client, job: int, asked: dict[str, Any]) -> None:
        with client.stream("GET", f"/api/v1/jobs/{job}/lines/stream", **asked) as answer:
            self.status, self.headers = answer.status_code, answer.headers
            found: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                self.heartbeats += line.startswith(":")
                if not line and found:
                    self.events.append(found)
                    found = {}
                elif line and name:
                    found[name] = value
                if self.leave.is_set():
                    return
        self.over = True

    @property
    def texts(self) -> list[str]:
        return [json.loads(one["data"])["text"] for one in self.events if "event" not in one]

    @property
    def ids(self) -> list[str]:
        return [one["id"] for one in self.events if "id" in one]


@contextmanager
def served(stage: Stage) -> Iterator[tuple[httpx.Client, Service]]:
    """The API, with the rooms behind it, and a client that may read."""
    service = stage.service
    secret = tokens.fresh()
    with stage.database.write() as session:
        tokens.add(session, "reader", secret, stage.clock(), None, [Right.READ])
    headers = {"Authorization": f"Bearer {secret}"}
    with (
        stage.api(application.served(service)) as url,
        httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client,
    ):
        yield client, service
        service.streams.close()


def test_lines_come_as_they_are_written_and_the_end_says_how_the_job_ended(stage: Stage) -> None:
    claim = running(stage, 2)
    with served(stage) as (client, _):
        listener = Listener(client, claim.job_id)
        wait_for(lambda: listener.texts == ["line 1", "line 2"])
        assert listener.headers["content-type"].startswith("text/event-stream")
        assert listener.headers["cache-control"] == "no-store"
        assert listener.headers["x-accel-buffering"] == "no"
        say(stage, claim, "line 3\nof two")
        wait_for(lambda: listener.texts[2:] == ["line 3\nof two"])
        end(stage, claim)
        listener.thread.join(30)
        assert listener.over
        assert listener.ids == ["1", "2", "3"]
        (last,) = [one for one in listener.events if "event" in one]
        assert last["event"] == "end"
        assert json.loads(last["data"]) == {"state": "succeeded", "message": "1 of 1 succeeded"}


def test_who_comes_again_goes_on_after_the_last_line_they_had(stage: Stage) -> None:
    claim = running(stage, 250)
    end(stage, claim)
    with served(stage) as (client, _):
        first = Listener(client, claim.job_id)
        first.thread.join(30)
        assert first.ids == [str(one) for one in range(1, 251)], "more than are read at once"
        again = Listener(client, claim.job_id, headers={"Last-Event-ID": "248"})
        again.thread.join(30)
        assert (again.ids, again.events[-1]["event"]) == (["249", "250"], "end")
        after = Listener(client, claim.job_id, params={"after": 249})
        after.thread.join(30)
        assert after.ids == ["250"]


def test_what_cannot_be_followed_is_said_in_a_problem(stage: Stage) -> None:
    claim = running(stage)
    with served(stage) as (client, service):
        path = f"/api/v1/jobs/{claim.job_id}/lines/stream"
        assert client.get("/api/v1/jobs/99/lines/stream").status_code == 404
        for wrong in ("x", "-1", "9" * 20):
            assert client.get(path, headers={"Last-Event-ID": wrong}).status_code == 422
        assert httpx.get(client.base_url.join(path), trust_env=False).status_code == 401
        assert service.streams.taken == 0


def test_only_so_many_listen_at_once_and_who_goes_makes_room(stage: Stage) -> None:
    claim = running(stage, 1)
    with served(stage) as (client, service):
        service.streams.most = 2
        first, second = (Listener(client, claim.job_id) for _ in range(2))
        wait_for(lambda: first.texts and second.texts)
        refused = client.get(f"/api/v1/jobs/{claim.job_id}/lines/stream")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["type"] == "urn:notafter:problem:too-many-streams"
        first.leave.set()
        say(stage, claim, "line 2")
        first.thread.join(30)
        wait_for(lambda: service.streams.taken == 1)
        third = Listener(client, claim.job_id)
        wait_for(lambda: third.texts == ["line 1", "line 2"])
        end(stage, claim)
        for one in (second, third):
            one.thread.join(30)
        wait_for(lambda: service.streams.taken == 0)


def test_where_nothing_happens_a_heartbeat_comes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert streams.HEARTBEAT_SECONDS == 15
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.6)
    claim = running(stage)
    with served(stage) as (client, _):
        listener = Listener(client, claim.job_id)
        wait_for(lambda: listener.heartbeats >= 2)
        end(stage, claim)
        listener.thread.join(30)
        assert [one["event"] for one in listener.events] == ["end"]


def test_who_is_shut_out_hears_no_more(stage: Stage, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api._DOOR_SECONDS <= 30
    monkeypatch.setattr(api, "_DOOR_SECONDS", 0.5)
    claim = running(stage, 1)
    root, client = people.somebody("root", Role.ADMIN), people.somebody("carol")
    listener = Listener(client, claim.job_id)
    wait_for(lambda: listener.texts)
    with stage.database.read() as session:
        number = users.by_name(session, "carol").id
    assert root.patch(f"/api/v1/users/{number}", json={"disabled": True}).status_code == 200
    listener.thread.join(30)
    assert listener.over
    say(stage, claim, "line 2")
    assert listener.texts == ["line 1"]
    assert not any("event" in one for one in listener.events), "the job has not ended"


def test_who_takes_nothing_gives_their_place_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_PATIENCE_SECONDS", 1.0)
    claim = running(stage)
    say(stage, claim, *("x" * 2000 for _ in range(4000)))
    with served(stage) as (client, service):
        where = urlsplit(str(client.base_url))
        with socket.create_connection((where.hostname or "", where.port or 0)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asked = f"GET /api/v1/jobs/{claim.job_id}/lines/stream HTTP/1.1\r\nHost: x\r\n"
            sock.sendall(f"{asked}Authorization: {client.headers['Authorization']}\r\n\r\n".encode())
            wait_for(lambda: service.streams.taken == 1)
            wait_for(lambda: service.streams.taken == 0)


def test_listeners_do_not_keep_a_process_from_stopping(stage: Stage) -> None:
    secret = tokens.fresh()
    with stage.database.write() as session:
        tokens.add(session, "reader", secret, stage.clock(), None, [Right.READ])
    claim = running(stage, 1)
    headers = {"Authorization": f"Bearer {secret}"}
    with (
        stage.serve() as process,
        httpx.Client(base_url=stage.workshop.api_url, headers=headers, trust_env=False, timeout=60) as client,
    ):
        wait_for(lambda: "serving" in (stage.folder / "serve.log").read_text())
        listeners = [Listener(client, claim.job_id) for _ in range(5)]
        wait_for(lambda: all(one.texts for one in listeners))
        began = time.monotonic()
        process.terminate()
        assert process.wait(30) == 0
        assert time.monotonic() - began < 10
        for one in listeners:
            one.thread.join(10)
            assert one.over, "it was let go in order, to come again"
    assert "Cancel" not in (stage.folder / "serve.log").read_text()


def test_how_long_somebody_listens_is_not_how_long_requests_take(stage: Stage) -> None:
    claim = running(stage, 1)
    with served(stage) as (client, _):
        listener = Listener(client, claim.job_id)
        wait_for(lambda: listener.texts)
        time.sleep(2.6)
        end(stage, claim)
        listener.thread.join(30)
        wait_for(lambda: "lines/stream" in client.get("/metrics").text)
        told = [one for one in client.get("/metrics").text.splitlines() if "lines/stream" in one]
        (taken,) = [float(one.split()[-1]) for one in told if "_sum{" in one]
        assert taken < 2.5
