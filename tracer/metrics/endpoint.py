"""Serves a tally over HTTP, by prometheus_client, which is imported for this alone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tracer.addresses import endpoint
from tracer.errors import UdptraceError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from tracer.metrics.tally import Tally

LOOPBACK = "127.0.0.1"

_MISSING = (
    "--metrics: the Python module prometheus_client is missing: apt install"
    " python3-prometheus-client (Debian, Ubuntu), or pip install 'udptrace[metrics]'"
)


def require() -> None:
    """Raise UdptraceError where the library is not installed."""
    # Not by importing it: that comes after the compiler (tracer.cli.tracing).
    if find_spec("prometheus_client") is None:
        raise UdptraceError(_MISSING)


def serve(tally: Tally, host: str, port: int) -> str:
    """Answer from now on, in threads that end with the process; returns the URL.

    The library must be there (`require`). Raises UdptraceError.
    """
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(tally))
    where = endpoint(host, port)
    try:
        start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise UdptraceError(f"--metrics {where}: cannot listen: {error.strerror}") from None
    return f"http://{where}/metrics"


class _Collector:
    """Asked at each scrape."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """The families of the tally."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        for metric, values in self._tally.samples():
            family = families[metric.kind](metric.name, metric.help, labels=metric.labels)
            for labels, value in values:
                family.add_metric(labels, value)
            yield family
