"""The failures a user can cause, each carrying the one line that says what and how to mend it."""


class UdptraceError(Exception):
    """A failure with a one-line reason; the command line turns it into a non-zero exit.

    ``str(error)`` is the whole line, without a trailing full stop added by the caller.
    """

    exit_code = 1


class UsageError(UdptraceError):
    """What was asked for cannot be meant (an unknown namespace, a bad filter): exit code 2."""

    exit_code = 2
