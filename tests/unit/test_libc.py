"""Why a C library's call failed, as the exception that Python has for it."""

from __future__ import annotations

import ctypes
import errno

import pytest

from tracer.libc import checked


def test_what_did_not_fail_is_passed_on() -> None:
    assert checked(0) == 0
    assert checked(7, "open") == 7


def test_the_error_is_of_its_errno() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with pytest.raises(FileNotFoundError, match="No such file"):
        checked(libc.chdir(b"/no/such/directory"))
    with pytest.raises(NotADirectoryError, match="chdir: Not a directory"):
        checked(libc.chdir(b"/dev/null"), "chdir")


def test_a_call_that_says_nothing_is_invalid() -> None:
    ctypes.set_errno(0)
    with pytest.raises(OSError, match="Invalid argument") as raised:
        checked(-1)
    assert raised.value.errno == errno.EINVAL
