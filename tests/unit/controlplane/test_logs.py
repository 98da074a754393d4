"""The log has no secrets."""

from notafter.logs import redact

KEY = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----"


def test_what_is_named_like_a_secret_is_hidden() -> None:
    event = {"event": "x", "token": "t", "api_password": "p", "sealed_key": "s", "job": 7}
    assert redact(None, "info", event) == {
        "event": "x",
        "token": "(hidden)",
        "api_password": "(hidden)",
        "sealed_key": "(hidden)",
        "job": 7,
    }


def test_what_looks_like_a_secret_is_hidden_wherever_it_stands() -> None:
    event = {"event": f"got {KEY} end", "more": [{"deep": "Bearer abc.def"}, "na_" + "x" * 43]}
    shown = str(redact(None, "info", event))
    assert "AAAA" not in shown
    assert "abc.def" not in shown
    assert "xxxx" not in shown
    assert "end" in shown
