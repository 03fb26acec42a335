"""The JSON stream: one object a line, the same bytes from the same events."""

from __future__ import annotations

from tracer.events import Clock, End, Event, Header, Loss, TargetChange
from tracer.incident import SCHEMA
from tracer.link import IncidentUpdate
from tracer.parts import Json, container_json
from tracer.render.json_line import json_line
from tracer.silence import NetnsSilence
from tracer.timefmt import Anchor, utc_text
from tracer.totals import Stats


class JsonRenderer:
    """Renders a trace in order. Each method returns whole lines, or nothing."""

    def __init__(self) -> None:
        self._anchor: Anchor | None = None
        self._following = False

    def event(self, event: Event) -> str:
        """The header, the losses and how targets fare; other events show in the incidents."""
        if isinstance(event, Header | Clock):
            self._anchor = Anchor.of(event)
        if isinstance(event, Header):
            self._following = bool(event.following)
            return json_line(self._stamped("header", event.time) | _header(event))
        if isinstance(event, TargetChange) and self._following:
            return json_line(self._stamped("target", event.time) | _target(event))
        if isinstance(event, Loss):
            what: Json = {"what": event.what, "count": event.count}
            return json_line(self._stamped("loss", event.time) | what)
        return ""

    def update(self, update: IncidentUpdate) -> str:
        """An incident as it stands; the same ``id`` comes again with a higher ``seq``."""
        return json_line(update.incident.to_json())

    def end(self, end: End, stats: Stats) -> str:
        """The last lines of a trace that ended cleanly: what died silently, and the totals."""
        totals: Json = {
            "reason": end.reason,
            "misses": stats.misses,
            "untold": stats.untold,
            "incidents": stats.incidents,
            "sockets": stats.sockets,
            "losses": stats.losses,
            "forgotten": stats.forgotten,
        }
        lines = [json_line(counters_json(part)) for part in stats.silence]
        return "".join(lines) + json_line(self._stamped("end", end.time) | totals)

    def _stamped(self, kind: str, monotonic: int) -> Json:
        time = time_text(self._anchor.utc(monotonic) if self._anchor else None)
        return {"kind": kind, "schema": SCHEMA, "time": time, "mono_ns": monotonic}


def counters_json(part: NetnsSilence) -> Json:
    """A `counters` line."""
    return {
        "kind": "counters",
        "schema": SCHEMA,
        "time": time_text(part.time),
        "mono_ns": part.mono_ns,
        "netns": part.netns.to_json(),
        "since": time_text(part.since),
        "final": part.final,
        "gone": part.gone,
        "silent": part.silent,
        "no_ports": {"kernel": part.kernel, "traced": part.traced, "unseen": part.unseen},
        "icmp": {"unreachables_sent": part.icmp_sent, "rate_limited": part.icmp_limited},
    }


def time_text(utc: int | None) -> str | None:
    """A time as the stream has it."""
    return None if utc is None else utc_text(utc)


def _header(header: Header) -> Json:
    targets = zip(header.targets, header.target_names, strict=False)
    return {
        "tool": header.tool,
        "version": header.version,
        "host": header.host,
        "boot_id": header.boot_id,
        "kernel": header.kernel,
        "machine": header.machine,
        "argv": list(header.argv),
        "targets": [{"inum": inum, "name": name} for inum, name in targets],
        "following": list(header.following),
        "probes": list(header.probes),
        "missing": [{"name": name, "reason": reason} for name, reason in header.missing],
    }


def _target(change: TargetChange) -> Json:
    return {
        "name": change.spec,
        "state": change.state,
        "netns": {"inum": change.inum, "cookie": str(change.cookie) if change.cookie else None},
        "container": container_json(change.container),
    }
