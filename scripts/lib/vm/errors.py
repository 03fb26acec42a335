"""VmError: a failure that ends scripts/vm with one line on stderr."""


class VmError(Exception):
    """What went wrong and how to mend it, in one line; `details` are lines of evidence below it."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class SignalError(Exception):
    """A signal that ends scripts/vm."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
