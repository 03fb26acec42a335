"""What died silently, in lines for a person: safe to print, not yet wrapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer.render import phrases
from tracer.silence import NetnsSilence
from tracer.summary import many

_WORDS = {
    "receive-buffer": "receive buffer full",
    "checksum": "bad checksum",
    "memory": "no memory",
    "multicast": "broadcast or multicast that no socket took",
    "other": "other (socket filter, IPsec policy, bad length)",
}


def silence_lines(parts: Iterable[NetnsSilence]) -> Iterator[str]:
    """A line for what died in each namespace, one for each difference; none where all is well."""
    gone = []
    for part in parts:
        texts = [*_deaths(part), *_difference(part)]
        for text in texts:
            yield f"{phrases.namespace(part.netns)}: {text}{_limits(part)}"
        if part.gone and not texts:
            gone.append(part)
    if gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        yield (
            f"{phrases.namespace(gone[0].netns)}{more}: gone before the end, so that the counters"
            " were not read: what died there silently is not known"
        )


def _deaths(part: NetnsSilence) -> Iterator[str]:
    if part.deaths:
        reasons = [
            f"{part.silent[why]} {words}" for why, words in _WORDS.items() if part.silent[why]
        ]
        yield f"{many(part.deaths, 'datagram')} died silently: {', '.join(reasons)}"


def _difference(part: NetnsSilence) -> Iterator[str]:
    """Where the kernel's count of lookups without a socket is not the number of misses seen."""
    if not part.unseen and not part.surplus:
        return
    kernel = many(part.kernel or 0, "lookup")
    text = f"the kernel counted {kernel} without a socket, {part.traced} were traced"
    if part.unseen:
        text += f"; {part.unseen} not: their probe did not run, or what it told was lost"
    if part.surplus:
        text += f", {part.surplus} that it did not count"
    if part.doubtful:
        text += "; some may have been counted twice: too many to remember"
    yield text


def _limits(part: NetnsSilence) -> str:
    """What bounds the counting in time."""
    notes = []
    if part.anew:
        notes.append("counted anew when the counters went down: another namespace has the number")
    if part.gone:
        notes.append("gone: counters not read at the end")
    elif not part.final:
        notes.append("counters not read at the end")
    return f" ({'; '.join(notes)})" if notes else ""
