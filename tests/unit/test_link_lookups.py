"""What is looked up for a miss reaches it, however long the look-up took."""

from __future__ import annotations

from tests.unit.build import BOX, gram, miss, namespace, owners, sock, tick
from tests.unit.linking import updates
from tracer.events import Event

REFUSER = sock("10.0.0.1:53", "10.0.0.7:4000", inode=21, netns=BOX)
MISS = miss(1000, gram("10.0.0.9:4000", "10.0.0.1:53"), REFUSER, netns=BOX)


def test_a_slow_look_up_is_not_too_late() -> None:
    """A second on a busy machine: the miss is not settled by the look-up's own time."""
    events: list[Event] = [
        MISS,
        namespace(2000, BOX, "web"),
        owners(2000, 21, (7, "dns", 3)),
        tick(1200),
    ]
    (update,) = updates(events)
    assert update.incident.netns.name == "web"
    assert update.incident.socket is not None
    assert [p.pid for p in update.incident.socket.processes] == [7]


def test_a_look_up_after_the_miss_was_told_does_not_change_what_was_told() -> None:
    (update,) = updates([MISS, tick(1200), namespace(2000, BOX, "web")])
    assert update.incident.netns.name is None
