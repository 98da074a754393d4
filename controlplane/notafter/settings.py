"""Every setting of the process: typed, documented, from `NOTAFTER_*`; nonsense is refused by name."""

import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from notafter.ca.reach import Reach, networks
from notafter.domain.errors import SettingsError

_PLACEHOLDERS = frozenset({"changeme", "changethis", "secret", "password", "todo"})


class Settings(BaseSettings):
    """What an operator can set."""

    model_config = SettingsConfigDict(env_prefix="NOTAFTER_", extra="ignore", frozen=True)

    data_dir: Path = Field(
        default=Path("~/.local/share/notafter"),
        description="Where the database and the key-encryption key are.",
    )
    database_url: str | None = Field(
        default=None,
        description="The database; without it `notafter.db` in the data folder.",
    )
    kek_file: Path | None = Field(
        default=None,
        description="The key-encryption key; without it `kek` in the data folder. Keep it out of back-ups.",
    )
    kek: SecretStr | None = Field(
        default=None,
        description="The key-encryption key itself (32 bytes, base64), instead of a file.",
    )
    kek_command: str | None = Field(
        default=None,
        description="A command that prints the key-encryption key (base64), instead of a file: words as a"
        " shell would split them, but no shell.",
    )
    kek_next: SecretStr | None = Field(
        default=None,
        description="The key-encryption key that `notafter keys rotate` changes to, where it is no file.",
    )
    kek_next_command: str | None = Field(
        default=None,
        description="A command that prints the key which `notafter keys rotate` changes to.",
    )
    project: Path = Field(
        default=Path(),
        description="The folder with `playbooks/` and `ansible.cfg`.",
    )
    inventory: Path | None = Field(
        default=None,
        description="Your own Ansible inventory: how hosts are reached. Its group `servers` is scanned.",
    )
    host: str = Field(default="127.0.0.1", description="The address that the API listens at.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=8443, description="Its port.")
    trusted_proxies: str = Field(
        default="127.0.0.1,::1",
        description="Whose word on where a request comes from is taken (X-Forwarded-For): addresses and"
        " networks with commas between them; empty: nobody's.",
    )
    ca_networks: str = Field(
        default="",
        description="Where a CA of your own is, if not on the Internet: networks with commas between them"
        " (`10.1.0.0/16`). An address of a CA that leads elsewhere is refused.",
    )
    api_url: str | None = Field(
        default=None,
        description="Where runs reach the API; without it the address and port above.",
    )
    tick_seconds: Annotated[float, Field(ge=0.1, le=3600)] = Field(
        default=30.0,
        description="How often what should be is compared with what is.",
    )
    scan_interval_seconds: Annotated[float, Field(ge=0)] = Field(
        default=86400.0,
        description="How often each server is looked at again, after its first scan, spread over that time,"
        " and the inventory for new ones; 0: never.",
    )
    workers: Annotated[int, Field(ge=1, le=32)] = Field(default=2, description="Jobs at once.")
    certificates_per_job: Annotated[int, Field(ge=1, le=500)] = Field(
        default=50,
        description="How many certificates one job renews at most.",
    )
    job_timeout_seconds: Annotated[float, Field(ge=10)] = Field(
        default=3600.0,
        description="After this a run is stopped.",
    )
    drain_seconds: Annotated[float, Field(ge=0)] = Field(
        default=15.0,
        description="How long running jobs may go on when the process is told to stop.",
    )
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        default="info",
        description="How much is logged.",
    )

    @model_validator(mode="after")
    def _no_nonsense(self) -> Self:
        _check_keys("NOTAFTER_KEK", self.kek, self.kek_command)
        _check_keys("NOTAFTER_KEK_NEXT", self.kek_next, self.kek_next_command)
        for name, text in (("TRUSTED_PROXIES", self.trusted_proxies), ("CA_NETWORKS", self.ca_networks)):
            _check_networks(name, text)
        if not is_loopback(self.host) and self.api_url is None:
            raise ValueError(
                f"NOTAFTER_HOST is {self.host}, which others can reach: set NOTAFTER_API_URL"
                " to the https address of the proxy before it",
            )
        return self

    @property
    def database(self) -> str:
        """The address of the database."""
        return self.database_url or f"sqlite:///{self.home / 'notafter.db'}"

    @property
    def home(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.expanduser().resolve()

    @property
    def kek_path(self) -> Path:
        """The file of the key-encryption key."""
        return (self.kek_file or self.home / "kek").expanduser().resolve()

    @property
    def inventory_path(self) -> Path | None:
        """The operator's inventory, absolute; the project's example where none is set."""
        example = self.project.expanduser().resolve() / "inventories" / "example"
        if self.inventory is not None:
            return self.inventory.expanduser().resolve()
        return example if example.exists() else None

    @property
    def runs_reach(self) -> str:
        """Where runs reach the API."""
        return self.api_url or f"http://{self.host}:{self.port}"

    @property
    def reach(self) -> Reach:
        """Where a CA may be."""
        return Reach(networks(self.ca_networks))

    @property
    def scan_interval(self) -> timedelta | None:
        """How often the fleet is scanned again, if at all."""
        return timedelta(seconds=self.scan_interval_seconds) if self.scan_interval_seconds else None


def load() -> Settings:
    """Return the settings, or one line that names each wrong one."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_complaint(dict(one)) for one in error.errors())) from error


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_keys(name: str, key: SecretStr | None, command: str | None) -> None:
    if key is not None and key.get_secret_value().strip().lower() in _PLACEHOLDERS:
        raise ValueError(f"{name} is a placeholder: make a key, or leave it out")
    if key is not None and command is not None:
        raise ValueError(f"{name} and {name}_COMMAND are both set: which one is it?")


def _check_networks(name: str, text: str) -> None:
    try:
        networks(text)
    except ValueError as error:
        raise ValueError(f"NOTAFTER_{name}: {error}") from error


def _complaint(error: dict[str, object]) -> str:
    """Name the setting and what is wrong with it; never repeat its value."""
    where = error["loc"]
    message = str(error["msg"]).removeprefix("Value error, ")
    if isinstance(where, tuple) and where:
        return f"NOTAFTER_{str(where[0]).upper()}: {message}"
    return message
