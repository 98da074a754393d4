"""How long requests take."""

from prometheus_client import CollectorRegistry, Histogram

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Stopwatch:
    """How long requests took, by operation and status."""

    def __init__(self) -> None:
        """Begin with none."""
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "notafter_request_duration_seconds",
            "How long requests took.",
            ("method", "path", "status"),
            buckets=_BOUNDS,
            registry=self.registry,
        )

    def observe(self, method: str, path: str, status: int, seconds: float) -> None:
        """Note one request; methods that nobody serves are one, for strangers invent them."""
        known = method if method in _METHODS else "other"
        self._seconds.labels(known, path, f"{status // 100}xx").observe(seconds)
