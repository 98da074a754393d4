"""The process's log: JSON lines on standard error, without anything that looks like a secret."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_NAMES = re.compile(r"token|password|secret|private_?key|sealed|kek|authorization", re.IGNORECASE)
_SECRET_VALUES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\bna_[A-Za-z0-9_-]{20,}|(?i:bearer\s+)[A-Za-z0-9._~+/=-]+",
    re.DOTALL,
)
_HIDDEN = "(hidden)"


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide what is named like a secret, and what looks like one."""
    return {key: _HIDDEN if _SECRET_NAMES.search(key) else _clean(value) for key, value in event.items()}


def configure(level: str = "info") -> None:
    """Set the log up, for our own words and for those of the libraries."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        ),
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("apscheduler", "httpx", "httpcore", "uvicorn.access", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _clean(value: Any) -> Any:  # noqa: ANN401 -- whatever is logged
    if isinstance(value, str):
        return _SECRET_VALUES.sub(_HIDDEN, value)
    if isinstance(value, dict):
        return {key: _HIDDEN if _SECRET_NAMES.search(str(key)) else _clean(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value
