"""The signals that end a trace: noticed, not obeyed in the middle of things."""

from __future__ import annotations

import signal
from types import FrameType

_REASONS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "terminated",
}


class Stop:
    """Why the trace is to end; None while it is not.

    Until `begin` a signal raises KeyboardInterrupt, as there is nothing yet to end well. After it
    the first signal is noted here for the loop to see, and only a second Ctrl-C is not waited for.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._begun = False

    def install(self) -> None:
        """Catch the signals from now on; SIGHUP only if it is not ignored (nohup)."""
        for number in _REASONS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._caught)

    def begin(self) -> None:
        """From now on the trace can be ended well."""
        self._begun = True

    def _caught(self, number: int, frame: FrameType | None) -> None:
        again = self.reason is not None and number == signal.SIGINT
        if not self._begun or again:
            raise KeyboardInterrupt
        self.reason = self.reason or _REASONS[signal.Signals(number)]
