"""A report as one HTML page that needs nothing from elsewhere: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING

from tracer import __version__
from tracer.errors import UdptraceError
from tracer.link import IncidentUpdate
from tracer.render import chart, escape, phrases, report_parts, sequence
from tracer.render.text import TextRenderer
from tracer.report.model import Group, Report, Sample
from tracer.report.timeline import timeline
from tracer.timefmt import clock_text

if TYPE_CHECKING:
    from jinja2 import Environment

_PAGE = resources.files("tracer.render") / "page"


def report_html(report: Report, top: int) -> Iterator[str]:
    """The page in pieces; details of the ``top`` groups with the most misses.

    Raises UdptraceError where Jinja is not installed.
    """
    style, script = _file("report.css"), _file("report.js")
    template = _environment().from_string(_file("report.html.j2"))
    incidents = TextRenderer()
    return template.generate(
        version=__version__,
        report=report,
        shown=report.groups[:top],
        parts=report_parts,
        name=escape.name,
        namespace=phrases.namespace,
        clock=clock_text,
        chart=chart.chart(report.bins),
        chart_width=chart.WIDTH,
        group_chart=_group_chart,
        diagram=sequence.diagram,
        line_height=sequence.LINE,
        timeline=timeline,
        explanation=lambda sample: _explanation(incidents, sample),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _group_chart(group: Group) -> chart.Chart | None:
    """A group's misses over time; None where they are of one moment."""
    if group.bins is None or len(group.bins.counts) < 2:
        return None
    return chart.chart([(group.key.cause.value, group.bins)], chart.LOW)


def _environment() -> Environment:
    """Templates in which whatever is put in is escaped, and what is not there is an error."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise UdptraceError("--format html: needs Jinja: apt-get install python3-jinja2") from None
    return Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _file(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How the page's content security policy names the one style and the one script it allows."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _explanation(renderer: TextRenderer, sample: Sample) -> str:
    return renderer.update(IncidentUpdate(sample.incident, None))
