"""The lines that prove that a trace lives, and that sum it up at its end."""

from __future__ import annotations

from tracer.events import LOSSES
from tracer.link import Stats


def status_line(stats: Stats, duration_ns: int | None = None) -> str:
    """ "30 s: 0 misses, 41 sockets, 3 probes proven"; by default of the time of the events."""
    duration = stats.duration if duration_ns is None else duration_ns
    counts = [plural(stats.misses, "miss", "misses")]
    if stats.incidents:
        counts.append(plural(stats.incidents, "incident"))
    counts += [plural(stats.sockets, "socket"), f"{plural(stats.probes, 'probe')} proven"]
    return f"{duration_text(duration)}: {', '.join(counts)}"


def loss_lines(stats: Stats) -> list[str]:
    """What the verdicts may lack: nothing, or a line each for what was lost and forgotten."""
    lost = ", ".join(f"{count} {LOSSES.get(what, what)}" for what, count in stats.losses.items())
    forgotten = ", ".join(f"{count} {what}" for what, count in stats.forgotten.items())
    lines = [f"lost before they reached us: {lost}"] if lost else []
    return lines + ([f"forgotten to stay small: {forgotten}"] if forgotten else [])


def plural(number: int, one: str, many: str = "") -> str:
    """ "1 socket", "2 sockets"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration_text(ns: int) -> str:
    """Nanoseconds as people say them: "30 s", "5 min 12 s", "2 h 5 min"."""
    seconds = max(ns, 0) // 1_000_000_000
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
