"""Settings: what is nonsense is refused by name."""

import os

import pytest
from notafter import settings
from notafter.domain.errors import SettingsError


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("NOTAFTER_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("NOTAFTER_PORT", "70000", "NOTAFTER_PORT"),
        ("NOTAFTER_PORT", "http", "NOTAFTER_PORT"),
        ("NOTAFTER_TICK_SECONDS", "0", "NOTAFTER_TICK_SECONDS"),
        ("NOTAFTER_WORKERS", "0", "NOTAFTER_WORKERS"),
        ("NOTAFTER_LOG_LEVEL", "loud", "NOTAFTER_LOG_LEVEL"),
        ("NOTAFTER_KEK", "changeme", "placeholder"),
        ("NOTAFTER_HOST", "192.0.2.7", "NOTAFTER_API_URL"),
        ("NOTAFTER_TRUSTED_PROXIES", "10.0.0.5/24", "must end in zeros"),
        ("NOTAFTER_TRUSTED_PROXIES", "127.0.0.1, proxy", "'proxy' is no address"),
        ("NOTAFTER_CA_NETWORKS", "10.0.0.5/24", "NOTAFTER_CA_NETWORKS.*must end in zeros"),
    ],
)
def test_nonsense_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    told: str,
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=told):
        settings.load()


def test_a_secret_setting_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTAFTER_KEK", "canary-kek-value")
    assert "canary" not in repr(settings.load())
    monkeypatch.setenv("NOTAFTER_PORT", "x")
    with pytest.raises(SettingsError) as raised:
        settings.load()
    assert "canary" not in str(raised.value)


def test_every_setting_is_documented() -> None:
    assert all(field.description for field in settings.Settings.model_fields.values())


def test_a_tick_may_be_shorter_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTAFTER_TICK_SECONDS", "0.3")
    assert settings.load().tick_seconds == 0.3
