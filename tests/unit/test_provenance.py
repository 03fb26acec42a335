"""Which call set a value: the history's answer against cases by hand, and against a model."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.build import MS, at, autobind, bind, connect, disconnect, sock, task
from tracer.events import TCP_CLOSE, TCP_ESTABLISHED, Call, Family, SocketView
from tracer.provenance import Field, History, Setting, setting, value

NEW = sock("0.0.0.0:0", inode=7)
OPEN = sock("0.0.0.0:53", inode=7)
TO_A = sock("10.0.0.1:53", "10.0.0.8:4000", inode=7)
TO_B = sock("10.0.0.1:53", "10.0.0.9:4000", inode=7)

LOCAL: Field = "local-address"
PEER: Field = "remote-address"


def called(*calls: Call) -> History:
    """A history that began with the first of these calls."""
    history = History(calls[0].after, "call")
    for call in calls:
        history = history.add(call)
    return history


def found(
    history: History, view: SocketView, field: Field, ms: float = 900, family: Family = "ipv4"
) -> Setting:
    return setting(history, view, field, family, at(ms))


# Cases by hand


def test_bind_then_the_route_at_connect() -> None:
    bound, tied = bind(1, OPEN), connect(2, OPEN, TO_A)
    history = called(bound, tied)
    for field, call in ((LOCAL, tied), (PEER, tied), ("remote-port", tied), ("port", bound)):
        assert found(history, TO_A, field) == Setting(call), field


def test_an_address_that_bind_named_is_kept_by_connect() -> None:
    at_bind = sock("10.0.0.1:53", inode=7)
    bound, tied = bind(1, at_bind), connect(2, at_bind, TO_A)
    assert found(called(bound, tied), TO_A, LOCAL) == Setting(bound, kept_by=tied)


def test_a_reconnect_keeps_the_route_of_the_first() -> None:
    first, second = connect(2, OPEN, TO_A), connect(3, TO_A, TO_B)
    history = called(bind(1, OPEN), first, second)
    assert found(history, TO_B, LOCAL) == Setting(first, kept_by=second)
    assert found(history, TO_B, PEER) == Setting(second)
    assert history.connects_by(at(900)) == 2


def test_a_miss_between_two_connects_names_the_first() -> None:
    first, second = connect(2, OPEN, TO_A), connect(30, TO_A, TO_B)
    history = called(bind(1, OPEN), first, second)
    assert found(history, TO_A, PEER, ms=10) == Setting(first)
    assert history.connects_by(at(10)) == 1


def test_a_connect_to_the_same_peer_again_sets_it_anew() -> None:
    first, second = connect(2, OPEN, TO_A), connect(3, TO_A, TO_A, by=task(9))
    assert found(called(first, second), TO_A, PEER) == Setting(second)


def test_a_call_under_way_at_the_miss() -> None:
    """It has come to the local address and not to the peer."""
    first, second = bind(1, OPEN), connect(100, OPEN, TO_A, took=50)
    history = called(first, second)
    half = replace(TO_A, peer="0.0.0.0", pport=0, state=TCP_CLOSE)
    assert found(history, half, LOCAL, ms=80) == Setting(second)
    assert found(history, OPEN, LOCAL, ms=80) == Setting(first)
    assert found(history, OPEN, LOCAL, ms=20) == Setting(first)


def test_a_disconnect_takes_the_routes_choice_away() -> None:
    tied, gone = connect(2, OPEN, TO_A), disconnect(3, TO_A, OPEN)
    again = connect(4, OPEN, TO_B)
    history = called(tied, gone, again)
    assert found(history, TO_B, LOCAL) == Setting(again)
    assert found(history, OPEN, LOCAL, ms=3.5) == Setting(gone)
    assert found(history, OPEN, "remote-port", ms=3.5) == Setting(gone)


def test_a_peer_that_a_disconnect_left() -> None:
    """IPv6 goes on comparing it; IPv4 compares inet_daddr, which is cleared."""
    tied = sock("[::1]:53", "[fd00::1]:4000", inode=7, local4="127.0.0.6", peer4="0.0.0.0")
    stale = replace(sock("[::]:53", inode=7), peer="fd00::1", local4="0.0.0.0", peer4="0.0.0.0")
    made = connect(2, sock("[::]:53", inode=7, local4="0.0.0.0", peer4="0.0.0.0"), tied)
    gone = disconnect(3, tied, stale)
    assert found(called(made, gone), stale, PEER, family="ipv6") == Setting(made, kept_by=gone)


def test_what_ipv4_compares_is_set_by_the_mapped_connect() -> None:
    """A later native connect() leaves inet_daddr as it was."""
    mapped = sock("[::ffff:10.0.0.1]:53", "[::ffff:10.0.0.8]:1", inode=7, peer4="10.0.0.8")
    native = replace(mapped, peer="fd00::1")
    first, second = connect(2, sock("[::]:53", inode=7), mapped), connect(3, mapped, native)
    history = called(first, second)
    assert found(history, native, PEER, family="ipv4") == Setting(first)
    assert found(history, native, PEER, family="ipv6") == Setting(second)


def test_a_failed_connect_sets_nothing() -> None:
    tied = connect(2, OPEN, TO_A)
    failed = connect(3, TO_A, TO_A, error=101)
    history = called(tied, failed)
    assert found(history, TO_A, PEER) == Setting(tied)
    assert history.connects_by(at(900)) == 1
    assert history.calls == (tied,)


def test_a_failed_connect_can_bind_to_an_interface() -> None:
    """__ip6_datagram_connect (net/ipv6/datagram.c) sets sk_bound_dev_if, then looks for a route."""
    before = sock("[::]:53", inode=7)
    failed = connect(3, before, replace(before, device=3), error=101)
    history = called(bind(1, before), failed)
    assert found(history, replace(before, device=3), "device") == Setting(failed)
    assert found(history, before, PEER, family="ipv6").unseen == "older"


def test_the_device_by_the_scope_and_by_a_disconnect() -> None:
    linked = sock("[fe80::1]:53", "[fe80::2]:1", inode=7, device=3)
    tied = connect(2, sock("[::]:53", inode=7), linked)
    gone = disconnect(3, linked, sock("[::]:53", inode=7))
    assert found(called(tied), linked, "device") == Setting(tied)
    assert found(called(tied, gone), sock("[::]:53", inode=7), "device") == Setting(gone)


def test_an_ipv6_address_makes_it_ipv6_only() -> None:
    after = sock("[fd00::1]:53", inode=7, v6only=True)
    bound = replace(bind(1, after), before=sock("[::]:0", inode=7, v6only=False))
    assert found(called(bound), after, "ipv6-only") == Setting(bound)


def test_calls_that_arrive_out_of_order() -> None:
    first, second = connect(2, OPEN, TO_A), connect(3, TO_A, TO_B)
    history = History(NEW, "call").add(bind(1, OPEN)).add(second).add(first)
    assert found(history, TO_B, PEER) == Setting(second)
    assert found(history, TO_B, LOCAL) == Setting(first, kept_by=second)


# Not seen


@pytest.mark.parametrize(("sighting", "why"), [("dump", "older"), ("other", "unrecorded")])
def test_what_was_there_at_the_first_sighting(sighting: Literal["dump", "other"], why: str) -> None:
    history = History(TO_A, sighting)
    for field in (LOCAL, PEER, "remote-port", "port"):
        assert found(history, TO_A, field) == Setting(None, unseen=why), field  # type: ignore[arg-type]


def test_what_was_there_before_the_first_call_is_older() -> None:
    history = called(connect(5, TO_A, TO_B))
    assert found(history, TO_B, LOCAL).unseen == "older"
    assert found(history, TO_B, PEER).call is not None


def test_what_contradicts_the_calls_was_not_recorded() -> None:
    assert found(called(connect(5, OPEN, TO_A)), TO_B, PEER).unseen == "unrecorded"
    assert found(History(OPEN, "dump"), TO_A, PEER).unseen == "unrecorded"


def test_options_are_not_traced() -> None:
    bound = replace(OPEN, device=3)
    assert found(called(bind(1, OPEN)), bound, "device").unseen == "untraced"
    assert found(called(bind(1, OPEN)), OPEN, "device").unseen == "default"
    assert found(History(bound, "dump"), bound, "device").unseen == "older"
    assert found(History(bound, "other"), bound, "device").unseen == "untraced"
    only6 = sock("[::]:53", inode=7, v6only=True)
    assert found(called(replace(bind(1, only6), before=only6)), only6, "ipv6-only").unseen == (
        "untraced"
    )
    # /proc/net/udp6 does not tell: that is no contradiction.
    untold = replace(only6, v6only=None)
    assert found(History(untold, "dump"), only6, "ipv6-only").unseen == "older"


# Bounds


def test_the_history_is_bounded_and_keeps_what_set_each_field() -> None:
    bound, tied = bind(1, OPEN), connect(2, OPEN, TO_A)
    history = called(bound, tied)
    for n in range(100):
        there, back = (TO_A, TO_B) if n % 2 == 0 else (TO_B, TO_A)
        history = history.add(connect(10 + n, there, back))
    assert len(history.calls) <= 10
    assert found(history, TO_A, "port") == Setting(bound)
    assert found(history, TO_A, LOCAL).call == tied
    assert history.connects_by(at(900)) == 101
    # What was dropped is said to be, not guessed.
    early = found(history, TO_B, PEER, ms=20)
    assert early == Setting(None, unseen="dropped")
    assert history.connects_by(at(20)) is None


def test_a_socket_first_seen_without_a_port_is_new() -> None:
    loose = sock("0.0.0.0:4000", inode=7)
    made = autobind(1, loose)
    assert found(called(made), loose, "port") == Setting(made)


# Against a model of the kernel


@dataclass
class Kernel:
    """One AF_INET or AF_INET6 socket as the kernel changes it, remembering which call set what.

    net/ipv4/af_inet.c:__inet_bind, net/ipv4/datagram.c, net/ipv6/datagram.c and
    net/ipv4/udp.c:__udp_disconnect.
    """

    family: Family
    local: str = ""
    peer: str = ""
    lport: int = 0
    pport: int = 0
    device: int = 0
    connected: bool = False
    addr_lock: bool = False
    port_lock: bool = False
    ports: int = 40_000

    def __post_init__(self) -> None:
        self.any = "0.0.0.0" if self.family == "ipv4" else "::"
        self.local = self.peer = self.any
        self.setters: dict[Field, Call | None] = {}
        self.now = 0.0

    def view(self) -> SocketView:
        return SocketView(
            sock="s", inode=7, cookie=0, netns=1, netns_cookie=1, family=self.family,
            state=TCP_ESTABLISHED if self.connected else TCP_CLOSE,
            local=self.local, lport=self.lport, peer=self.peer, pport=self.pport,
            device=self.device, v6only=True if self.family == "ipv6" else None,
            addr_lock=self.addr_lock, port_lock=self.port_lock, uid=0,
        )  # fmt: skip

    def do(self, op: str, address: str, port: int) -> list[Call]:
        """One call as its event, with an autobind before it where the kernel makes one."""
        made = []
        if op in ("connect", "failed") and not self.lport:
            made.append(self._one("autobind", "", 0))
        return [*made, *([] if op == "send" and self.lport else [self._one(op, address, port)])]

    def _one(self, op: str, address: str, port: int) -> Call:
        before, set_now = self.view(), self._apply(op, address, port)
        self.now += 1.0
        names: dict[str, Literal["connect", "bind", "autobind", "disconnect"]] = {
            "bind": "bind", "failed-bind": "bind", "autobind": "autobind", "send": "autobind",
            "disconnect": "disconnect",
        }  # fmt: skip
        error = {"failed": 101, "failed-bind": 22}.get(op, 0)
        entered, when = at(self.now) - MS // 10, at(self.now)
        requested = (address, port) if address else None
        name = names.get(op, "connect")
        call = Call(when, name, entered, task(), requested, before, self.view(), error)
        self.setters |= dict.fromkeys(set_now, call)
        return call

    def _apply(self, op: str, address: str, port: int) -> list[Field]:
        if op in ("autobind", "send"):
            self.ports += 1
            self.lport = self.ports
            return ["port"]
        if op == "connect":
            chosen = self.local == self.any
            self.local = f"{address}9" if chosen else self.local
            self.peer, self.pport, self.connected = address, port, True
            return ["remote-address", "remote-port", *([LOCAL] if chosen else [])]
        if op == "bind":
            self.local, self.lport = address, port
            self.addr_lock, self.port_lock = address != self.any, True
            return [LOCAL, "port"]
        return self._disconnect() if op == "disconnect" else []

    def _disconnect(self) -> list[Field]:
        was = self.view()
        self.connected, self.pport, self.device = False, 0, 0
        if self.family == "ipv4":
            self.peer = self.any
        if not self.addr_lock:
            self.local = self.any
        if not self.port_lock:
            self.lport = 0
        fields: tuple[Field, ...] = (LOCAL, PEER, "remote-port", "device", "port")
        now = self.view()
        return [f for f in fields if value(was, f, self.family) != value(now, f, self.family)]


ADDRESSES: dict[Family, tuple[str, ...]] = {
    "ipv4": ("10.0.0.1", "10.0.0.2"),
    "ipv6": ("fd00::1", "fd00::2"),
}
OPS = ("bind", "failed-bind", "connect", "connect", "failed", "disconnect", "send")


@settings(
    max_examples=int(os.environ.get("EXAMPLES", "200")),
    derandomize="EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
)
@given(st.data())
def test_the_claim_is_what_the_kernel_did(data: st.DataObject) -> None:
    """After every call and for every field: the call that set it, or none when none did; and the
    same again for a moment some calls ago."""
    kernel = Kernel(data.draw(st.sampled_from(("ipv4", "ipv6"))))
    history = History(kernel.view(), "call")
    past: list[tuple[float, SocketView, dict[Field, Call | None]]] = []
    for _ in range(data.draw(st.integers(1, 14))):
        op = data.draw(st.sampled_from(OPS))
        if op == "bind" and kernel.lport:
            op = "failed-bind"
        address = data.draw(st.sampled_from(ADDRESSES[kernel.family]))
        for call in kernel.do(op, address, data.draw(st.integers(1, 2))):
            history = history.add(call)
        past.append((kernel.now, kernel.view(), dict(kernel.setters)))
        assert len(history.calls) <= 10
        for calls_ago, (now, view, setters) in enumerate(reversed(past)):
            _agrees(history, kernel.family, at(now) + 1, view, setters, late=calls_ago > 0)


def _agrees(
    history: History,
    family: Family,
    when: int,
    view: SocketView,
    setters: dict[Field, Call | None],
    *,
    late: bool,
) -> None:
    for field in (LOCAL, PEER, "remote-port", "port"):
        answer = setting(history, view, field, family, when)
        expected = setters.get(field)
        if late and answer.unseen == "dropped":
            continue
        assert answer.call == expected, (field, history.calls)
        assert (answer.unseen is None) == (expected is not None)
