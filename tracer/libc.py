"""Why a call of a C library failed, one made through ctypes with ``use_errno``."""

from __future__ import annotations

import ctypes
import errno
import os


def checked(result: int, call: str = "") -> int:
    """What a call returned. Raises OSError, with the call's name if given, for less than 0."""
    if result < 0:
        raise last_error(call)
    return result


def last_error(call: str = "") -> OSError:
    """Why the last one of this thread failed."""
    number = ctypes.get_errno() or errno.EINVAL
    words = os.strerror(number)
    return OSError(number, f"{call}: {words}" if call else words)
