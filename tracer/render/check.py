"""The answer of `udptrace check` for a person at a terminal: the verdict first, then the socket."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.addresses import endpoint
from tracer.answer import Answer
from tracer.render import phrases
from tracer.render.blocks import INDENT, Blocks
from tracer.render.escape import line
from tracer.render.wrap import wrap

_COLOR = {"delivered": "green", "missed": "red", "not looked up": "yellow"}


def check_text(answer: Answer, *, color: bool = False) -> str:
    """The whole answer, in lines of at most 80 columns."""
    return _CheckText(color=color).render(answer)


class _CheckText(Blocks):
    """The parts of an answer, in their order."""

    def render(self, answer: Answer) -> str:
        """All of them."""
        lines = [*self._headline(answer)]
        if answer.verdict == "delivered":
            lines += self._taken(answer)
        elif answer.verdict == "missed":
            lines += self._missed(answer)
        else:
            lines += self._block("why", line(answer.why))
        if answer.origin is not None:
            elsewhere = answer.origin.netns != answer.netns
            where = "  " + phrases.namespace(answer.origin.netns) if elsewhere else ""
            lines += self._block("sender", self._socket(answer.origin) + where)
        for hint in answer.hints:
            lines += self._block("hint", phrases.sentence(hint))
        for caveat in answer.caveats:
            lines += self._block("doubt", phrases.sentence(caveat))
        for note in answer.notes:
            lines += self._block("note", phrases.sentence(note))
        for advice in answer.advice:
            lines += self._block("do", phrases.sentence(advice))
        return self._text(lines)

    def _headline(self, answer: Answer) -> Iterator[str]:
        d = answer.datagram
        verdict = answer.verdict or "not looked up"
        doubt = "" if answer.certain else "?"
        cause = f"{answer.cause.value}{doubt}" if answer.cause else ""
        parts = [
            phrases.kept(verdict) + ("" if cause else doubt),
            cause,
            line(f"{endpoint(d.src, d.sport)} > {endpoint(d.dst, d.dport)}"),
            phrases.namespace(answer.netns) + (f", {line(answer.way)}" if answer.way else ""),
        ]
        whole = "  ".join(self._together(part, 4) for part in parts if part)
        lines = wrap(whole, "", "    ", self._columns)
        yield from self._painted(lines, verdict, fg=_COLOR[verdict], bold=True)

    def _taken(self, answer: Answer) -> Iterator[str]:
        several = answer.group or tuple(filter(None, [answer.socket]))
        for number, socket in enumerate(several):
            yield from self._block("" if number else "taken by", self._socket(socket))
        if answer.group or answer.broadcast:
            yield from self._block("", line(answer.why))
        yield from self._more(answer.candidates + 1 - len(several))

    def _missed(self, answer: Answer) -> Iterator[str]:
        if answer.socket is None:
            # What else is on the port takes no part, and a hint says so.
            yield from self._block("why", phrases.sentence(answer.why))
            return
        yield from self._block("refused by", self._socket(answer.socket))
        yield from self._block("", phrases.sentence(answer.why))
        for refusal in answer.nearest:
            yield from self._block("nor by", self._socket(refusal.socket))
            yield from self._block("", phrases.sentence(refusal.why))
        yield from self._more(answer.candidates - len(answer.nearest))

    def _more(self, count: int) -> Iterator[str]:
        if count > 0:
            yield from wrap(f"{count} more on that port", INDENT, INDENT, self._columns)
