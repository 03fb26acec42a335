"""The failures a user can cause, each carrying the one line that says what and how to mend it."""


class UdptraceError(Exception):
    """A failure with a one-line reason; the command line turns it into a non-zero exit.

    ``str(error)`` is the whole line, without a trailing full stop added by the caller.
    """

    exit_code = 1


class UsageError(UdptraceError):
    """What was asked for cannot be meant (an unknown namespace, a bad filter): exit code 2."""

    exit_code = 2


class BadAnswer(UdptraceError):
    """The answer is there, and it is a bad one: exit code 3."""

    exit_code = 3


class StartError(UdptraceError):
    """What a live trace cannot be had for on this machine, and the remedy.

    ``remedy`` is a command wherever there is one.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
        self.what = what
        self.remedy = remedy
