"""The start-up self-test: one connect and one miss of its own prove every probe.

A probe that attaches may still stay silent (kernel.ftrace_enabled=0), a walk may read the wrong
table: so before anything is claimed, the kernel is made to do what the probes are to see.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tracer.events import TCP_ESTABLISHED, Call, Close, Created, Event, IcmpFate, Miss, SockError
from tracer.kernel.provocation import Provocation, provoke

# Everything happens synchronously on loopback; this only bounds the wait for a silent probe on a
# slow, emulated machine.
_DEADLINE_S = 10.0


@dataclass
class Proof:
    """Which probes showed what was expected of them, and the events that were not the test's."""

    provocation: Provocation
    seen: set[str] = field(default_factory=set)
    others: list[Event] = field(default_factory=list)
    misses: dict[int, str] = field(default_factory=dict)
    """Time of each miss provoked -> the suffix of its family's probes."""
    untried: set[str] = field(default_factory=set)
    """Names of IPv6 probes, where the network namespace has no IPv6."""


def run(poll: Callable[[int], list[Event]], expected: set[str]) -> Proof:
    """Provoke, then collect until every name of ``expected`` is proven or the time is over.

    ``poll(timeout_ms)`` returns the next events. Raises StartError when nothing can be provoked.
    """
    provocation = provoke()
    proof = Proof(provocation)
    if "ipv6" not in provocation.senders:
        proof.untried = {name for name in expected if name.endswith(_suffix("ipv6"))}
    deadline = time.monotonic() + _DEADLINE_S
    while not expected <= proof.seen | proof.untried and time.monotonic() < deadline:
        for event in poll(100):
            if isinstance(event, IcmpFate) and event.miss in proof.misses:
                _judge_fate(event, proof)
            elif provocation.made(event):
                _judge(event, provocation, proof)
            else:
                proof.others.append(event)
    return proof


def _judge(event: Event, provocation: Provocation, proof: Proof) -> None:
    if isinstance(event, Call):
        _judge_call(event, provocation, proof)
    elif isinstance(event, SockError):
        if (event.socket.local, event.socket.lport) in provocation.senders.values():
            proof.seen.add("error")
            if event.icmp is not None:
                proof.seen.add("icmp-error" + _suffix(event.socket.family))
    elif isinstance(event, Created):
        proof.seen.add("created" + _suffix(event.socket.family))
    elif isinstance(event, Close):
        proof.seen.add("close" + _suffix(event.socket.family))
    elif isinstance(event, Miss):
        _judge_miss(event, provocation, proof)


def _suffix(family: str) -> str:
    """What an IPv6 probe's name has after its IPv4 twin's."""
    return "" if family == "ipv4" else "6"


def _judge_call(call: Call, provocation: Provocation, proof: Proof) -> None:
    after = call.after
    sender = provocation.senders.get(after.family)
    if call.op == "connect":
        # What makes it a proof: the route's source address and the state are there at the return.
        if (
            after.state == TCP_ESTABLISHED
            and (after.peer, after.pport) == provocation.refusers.get(after.family)
            and (after.local, after.lport) == sender
            and call.before.local in ("0.0.0.0", "::")
        ):
            proof.seen.add("connect" + _suffix(after.family))
    elif call.op == "bind":
        proof.seen.add("bind" + _suffix(after.family))
    elif call.op == "disconnect":
        if call.before.state == TCP_ESTABLISHED and after.state != TCP_ESTABLISHED:
            proof.seen.add("disconnect")
    elif sender and after.lport == sender[1]:
        proof.seen.add("autobind")
        if call.within == "connect":
            proof.seen.add("connecting")


def _judge_miss(miss: Miss, provocation: Provocation, proof: Proof) -> None:
    datagram = miss.datagram
    suffix = _suffix(datagram.family)
    if not provocation.sent(datagram) or not miss.proven:
        return
    refuser = provocation.refusers[datagram.family]
    proof.seen.add("icmp" + suffix)
    proof.misses[miss.time] = suffix
    if miss.passes:
        proof.seen.add("lookup" + suffix)
    if miss.walk and any((c.local, c.lport) == refuser for c in miss.walk.candidates):
        proof.seen.add("walk")


def _judge_fate(fate: IcmpFate, proof: Proof) -> None:
    # Loopback knows no limit: an ICMP that is not seen to leave is a probe that does not work.
    if fate.status == "sent":
        proof.seen.add("push" + proof.misses[fate.miss])
