"""People of a control plane, as clients that have logged in."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import httpx
from notafter.custody import passwords
from notafter.domain.user import Role
from notafter.lifecycle import user
from notafter.lifecycle.user import OneTime

if TYPE_CHECKING:
    from types import TracebackType

    from tests.integration.controlplane.stage import Stage

#: Long, and no words of a list.
PASSWORD = "vulcan-ember-quill-97-otter"


class People:
    """A control plane's API, and whoever uses it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self.url = self._opened.enter_context(self.stage.api())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def client(self, token: str | None = None, address: str | None = None) -> httpx.Client:
        """A client with a token, or none, that comes from an address."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if address is not None:
            headers["X-Forwarded-For"] = address
        return self._opened.enter_context(
            httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)
        )

    def newcomer(self, name: str, role: Role = Role.VIEWER) -> str:
        """Somebody who has not been here yet; returns their first password."""
        password = user.new_password()
        with self.stage.database.write() as session:
            user.create(session, name, role, password, "test", self.stage.clock())
        return password.text

    def somebody(self, name: str, role: Role = Role.VIEWER) -> httpx.Client:
        """Somebody who has set a password of their own, logged in."""
        with self.stage.database.write() as session:
            password = OneTime(PASSWORD, passwords.hashed(PASSWORD))
            row = user.create(session, name, role, password, "test", self.stage.clock())
            row.password_is_one_time = False
        return self.client(log_in(self.client(), name)["access_token"])


def log_in(client: httpx.Client, name: str, password: str = PASSWORD) -> dict[str, str]:
    """What somebody is given who logs in."""
    answer = client.post("/api/v1/auth/login", json={"name": name, "password": password})
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()
    return found
