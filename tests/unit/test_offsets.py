"""Which struct members a kernel must have, for which command; without them no offset is made up."""

from __future__ import annotations

from typing import Any

import pytest

from tracer.errors import StartError
from tracer.kernel.btf import Member, MissingMember
from tracer.kernel.layout import (
    BITS,
    ITERATED,
    MEMBERS,
    OPTIONAL,
    STATES_BITS,
    definitions,
    iterator_definitions,
    require_states,
)


class Types:
    """A kernel whose structs have all members but some."""

    def __init__(self, *lacking: str) -> None:
        self._lacking = lacking

    def member(self, struct: str, path: str) -> Member:
        """Bit 4 of byte 8, whatever it is."""
        if path in self._lacking:
            raise MissingMember(f"struct {struct} has no {path}")
        return Member(68, 1, 0)

    def argument(self, function: str, name: str) -> int:
        """The second, whatever it is."""
        return 1

    def size(self, struct: str) -> int:
        """16 bytes, whatever it is."""
        return 16


def types(*lacking: str) -> Any:
    return Types(*lacking)


def test_a_kernel_that_has_all() -> None:
    found = definitions(types())
    assert found.keys() >= {f"OFF_{name}" for name in (*MEMBERS, *OPTIONAL, *BITS, *STATES_BITS)}
    assert (found["OFF_SKC_NET_REFCNT"], found["SHIFT_SKC_NET_REFCNT"]) == (8, 4)
    assert found["MASK_SKC_NET_REFCNT"] == 1
    require_states(found)


@pytest.mark.parametrize("name", STATES_BITS)
def test_what_states_alone_reads_keeps_no_other_trace_from_starting(name: str) -> None:
    _, path, _ = STATES_BITS[name]
    found = definitions(types(path))
    assert f"OFF_{name}" not in found
    assert iterator_definitions(types(path))
    with pytest.raises(StartError, match=f"not one udptrace knows .* has no {path}"):
        require_states(found)


@pytest.mark.parametrize("name", OPTIONAL)
def test_what_only_some_kernels_have_is_left_out(name: str) -> None:
    _, path = OPTIONAL[name]
    assert f"OFF_{name}" not in definitions(types(path))


@pytest.mark.parametrize("path", ["skc_rcv_saddr", "sk_userlocks"])
def test_what_every_trace_reads_must_be_there(path: str) -> None:
    with pytest.raises(StartError, match=f"has no {path}"):
        definitions(types(path))


def test_what_the_iterator_alone_reads_keeps_no_trace_from_starting() -> None:
    _, path = ITERATED["SK_REUSEPORT_CB"]
    assert definitions(types(path))
    with pytest.raises(StartError, match=f"has no {path}"):
        iterator_definitions(types(path))
