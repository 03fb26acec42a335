"""A trace's metrics as Prometheus itself scrapes them, and that each is documented."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tracer.metrics.tally import METRICS

DEADLINE_S = 60
TOP = Path(__file__).resolve().parents[2]

PAGE = (TOP / "docs/fleet.md").read_text()
EXPRESSIONS = re.findall(r"^    ((?:\w+\()?udptrace_.*?)(?:  #.*)?$", PAGE, re.MULTILINE)

TRACE = (sys.executable, "-m", "tests.unit.fake_udptrace", "live", "-f", "json")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def running(*command: str) -> Iterator[None]:
    with subprocess.Popen(command, cwd=TOP, stdout=subprocess.DEVNULL) as process:
        yield
        process.terminate()


def fetch(url: str) -> str:
    with urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def wait_for(look: Callable[[], Any]) -> Any:
    """What a look finds, as soon as it finds something."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        with suppress(OSError):
            if found := look():
                return found
        time.sleep(0.1)
    raise AssertionError("nothing came")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """Asks a Prometheus that scrapes a trace: its answer to a query."""
    directory = tmp_path_factory.mktemp("prometheus")
    traced, answering = free_port(), free_port()
    config = directory / "prometheus.yml"
    job = {"job_name": "udptrace", "static_configs": [{"targets": [f"127.0.0.1:{traced}"]}]}
    # YAML includes JSON.
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    prometheus = (
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{answering}",
        "--log.level=error",
    )

    def query(expression: str) -> Any:
        url = f"http://127.0.0.1:{answering}/api/v1/query?query={quote(expression)}"
        return wait_for(lambda: json.loads(fetch(url)))

    with running(*TRACE, "--metrics", f":{traced}"), running(*prometheus):
        yield query


@pytest.fixture
def scraped(asked: Callable[[str], Any]) -> Callable[[str], Any]:
    """The result of a query, once there is one."""
    return lambda expression: wait_for(lambda: asked(expression)["data"]["result"])


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_prometheus_understands_what_the_page_asks(
    asked: Callable[[str], Any], expression: str
) -> None:
    assert asked(expression)["status"] == "success"
    assert any(metric.served_as in expression for metric in METRICS)


def test_prometheus_has_every_metric(scraped: Callable[[str], Any]) -> None:
    for metric in METRICS:
        for series in scraped(metric.served_as):
            assert set(metric.labels) <= series["metric"].keys() | {"netns", "container"}
    (up,) = scraped("up{job='udptrace'}")
    assert up["value"][1] == "1"


def test_incidents_and_overhead_can_be_asked_for(scraped: Callable[[str], Any]) -> None:
    (misses,) = scraped("sum by (cause) (udptrace_misses_total) > 0")
    assert misses["metric"] == {"cause": "no-socket"}
    assert scraped("process_cpu_seconds_total > 0")
    assert scraped("process_resident_memory_bytes > 0")
    assert len(scraped("udptrace_losses_total == 0")) > 1


def test_every_metric_that_is_served_is_documented() -> None:
    port = free_port()
    with running(*TRACE, "--metrics", f":{port}"):
        text = wait_for(lambda: fetch(f"http://127.0.0.1:{port}/metrics"))
    served = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    documented = set(re.findall(r"^\| `(\w+)` \| (?:counter|gauge) \|", PAGE, re.MULTILINE))
    assert served == documented
    assert {metric.served_as for metric in METRICS} <= served
    for metric in METRICS:
        (row,) = re.findall(rf"^\| `{metric.served_as}` .*$", PAGE, re.MULTILINE)
        assert all(f"`{label}`" in row for label in metric.labels), row
