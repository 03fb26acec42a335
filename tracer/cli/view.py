"""What a command shows of a trace: the linker and the renderer that its options ask for."""

from __future__ import annotations

from collections.abc import Callable

from tracer.cli.options import wants_color
from tracer.cli.streams import tell
from tracer.link import CLOSED_WINDOW_NS, SETTLE_NS, Linker
from tracer.present import Presenter, Renderer
from tracer.render.text import TextRenderer
from tracer.select import Selection
from tracer.totals import Stats


def make_presenter(
    output_format: str,
    color: str,
    write: Callable[[str], None],
    *,
    targets: tuple[int, ...],
    following: bool,
    closed_window_ns: int | None,
    settle_ns: int | None,
    limit: int | None,
    selection: Selection,
    silent: Renderer | None = None,
) -> Presenter:
    """A presenter for --format ("json", "text"; "" for ``silent``) and --color."""
    linker = Linker(
        frozenset(targets),
        following=following,
        closed_window_ns=closed_window_ns or CLOSED_WINDOW_NS,
        settle_ns=settle_ns or SETTLE_NS,
        selection=selection,
    )
    if output_format == "json":
        from tracer.render.jsonl import JsonRenderer

        renderer = JsonRenderer()
        return Presenter(linker, renderer, write, limit, renderer.end)
    if silent is not None and not output_format:
        return Presenter(linker, silent, write, limit)
    return Presenter(linker, TextRenderer(color=wants_color(color)), write, limit)


def tell_summary(stats: Stats) -> None:
    """The last words of a trace, on stderr: they are no result."""
    for line in TextRenderer().end(stats).splitlines():
        tell(line)
