"""Outcomes become facts: the only writer of results. Asking twice changes nothing."""

from notafter.lifecycle.record.outcome import Desk, record

__all__ = ["Desk", "record"]
