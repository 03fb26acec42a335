"""What is shown of the snapshots: the order, the grouping and the pause, changed by keys."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.render import top as render
from tracer.timefmt import NS, clock_text
from tracer.top.model import BY, By, Snapshot, Sort
from tracer.top.rows import rows

_SORT_KEYS: dict[str, Sort] = {"m": "misses", "e": "errors", "d": "drops", "n": "name"}


@dataclass
class Display:
    """The state of the table on a terminal. ``limit``: no more rows than these."""

    by: By
    sort: Sort
    interval_ns: int
    limit: int | None = None
    paused: bool = False
    latest: Snapshot | None = None
    shown: Snapshot | None = None
    notice: str = ""
    """What else the user is to know, the latest."""

    def take(self, snapshot: Snapshot) -> None:
        """A new snapshot; a paused table goes on showing the one before."""
        self.latest = snapshot
        if not self.paused:
            self.shown = snapshot

    def press(self, key: str) -> bool:
        """A key was pressed; returns whether that ends it. Other keys do nothing."""
        if key in _SORT_KEYS:
            self.sort = _SORT_KEYS[key]
        elif key == "b":
            self.by = BY[(BY.index(self.by) + 1) % len(BY)]
        elif key in ("p", " "):
            self.paused = not self.paused
            self.shown = self.shown if self.paused else self.latest
        return key == "q"

    def lines(self, columns: int, height: int) -> tuple[list[str], int]:
        """The screen, and which of its lines is the heads' (-1: none)."""
        table = rows(self.shown, self.by, self.sort) if self.shown is not None else []
        title = self._title()
        return render.screen(self.shown, table, self.by, title, columns, height, self.limit)

    def _title(self) -> str:
        when = f"  {clock_text(self.shown.time)}" if self.shown and self.shown.time else ""
        paused = "  PAUSED, counting goes on" if self.paused else ""
        notice = f"  {self.notice}" if self.notice else ""
        order = f"by {self.by}, {self.sort} first, every {self.interval_ns / NS:g} s"
        return f"udptrace top{when}{paused}  {order}{notice}"
