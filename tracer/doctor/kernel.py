"""The steps of a start and its probes as findings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from tracer.findings import Fact, Finding, broken, degraded, ok, unknown
from tracer.kernel import cache, features
from tracer.kernel.btf import Btf, libbpf_version
from tracer.kernel.layout import charges_memlock
from tracer.kernel.probes import STATES, Probe
from tracer.kernel.program import Program
from tracer.kernel.selftest import Proof
from tracer.kernel.trial import Outcome
from tracer.sockets.facts import parse_facts
from tracer.summary import many
from tracer.system.listing import NO_FACTS
from tracer.system.netns import netns_cookie
from tracer.wire import WireError

ITERATOR = "socket iterator"


def bcc(module: Any) -> Finding:
    """BCC's version, and where it was found."""
    version, path = str(getattr(module, "__version__", "")), os.path.dirname(module.__file__)
    return ok("BCC", f"{version or 'of an unknown version'} ({path})", version=version, path=path)


def btf(layout: dict[str, int]) -> Finding:
    """The kernel's types, from which the offsets of struct members were taken."""
    version = libbpf_version()
    words = f", with libbpf {version}" if version else ""
    return ok("BTF", f"{len(layout)} offsets read{words}", libbpf=version)


def netns_cookies(layout: dict[str, int]) -> Finding:
    """Whether events (Linux 5.12) and sockets (5.14) tell a namespace's cookie."""
    if "OFF_NET_COOKIE" in layout and netns_cookie():
        return ok("netns cookies", "events and sockets tell them")
    return degraded(
        "netns cookies",
        "this kernel has none that can be read",
        "a network namespace with a reused inode number is told by its name only",
    )


def udp_table(layout: dict[str, int]) -> Finding:
    """Where the walk of a missing port's slot begins."""
    own = "OFF_NET_UDP_TABLE" in layout
    where = "found through the network namespace" if own else "found through a socket"
    return ok("UDP hash table", where, per_netns=own)


def struct_access(program: Program) -> Finding:
    """How the probes read the kernel's structs."""
    loads = program.casts
    words = "read by loads" if loads else "read by calls of a helper, which take longer"
    return ok("kernel structs", words, loads=loads)


def memlock(limit: int, loaded: bool) -> Iterator[Finding]:
    """The limit to locked memory (bytes, as it was before BCC), on a kernel where it matters.

    ``loaded``: it sufficed.
    """
    with closing(Btf()) as types:
        if not charges_memlock(types):
            return
    known = None if limit == features.NO_LIMIT else limit
    words = "unlimited" if known is None else f"{known >> 10} KiB"
    if features.memlock_is_short() and not loaded:
        why = f"too little memory may be locked for BPF ({words})"
        yield broken("memlock", why, features.RAISE_MEMLOCK, limit=known)
    else:
        yield ok("memlock", f"{words}, which suffices or may be raised", limit=known)


def program(program: Program) -> Finding:
    """The probes' C source."""
    when = f" by an earlier start ({cache.DIRECTORY})" if program.compiler_mb is None else ""
    return ok("BPF program", f"compiled{when} without kernel headers; maps made")


def probe(outcome: Outcome) -> Finding:
    """A probe that was tried: on which symbol it is, and whether it was seen to fire."""
    probe, kind = outcome.probe, _kind(outcome.probe)
    name = probe.symbols[0]
    facts = _facts(probe, outcome.symbol, proven=not (outcome.unproven or outcome.fault))
    if outcome.fault and probe.required:
        return broken(name, outcome.fault, outcome.remedy, **facts)
    of_states = probe in STATES
    if outcome.fault:
        lost = f"of `udptrace states`: {probe.without}" if of_states else probe.without
        return degraded(name, outcome.fault, lost, outcome.remedy, **facts)
    where = kind if outcome.symbol == name else f"{kind} on {outcome.symbol}"
    proof = f"attached; {outcome.unproven}" if outcome.unproven else "proven"
    use = "; for `states`" if of_states else ""
    return ok(name, f"{where}, {proof}{use}", **facts)


def untried_probe(probe: Probe, why: str) -> Finding:
    """A probe for which the start did not come far enough."""
    return unknown(probe.symbols[0], why, **_facts(probe, None, proven=False))


def self_test(proof: Proof) -> Finding:
    """What was done, where, and seen."""
    families = "IPv4" if proof.untried else "IPv4 and IPv6"
    words = f"a connect() and a miss of {families} were seen"
    private = proof.provocation.private
    if not private:
        words += "; on the loopback here, since no private network namespace may be made"
    return ok("self-test", words, private=private)


def ring_buffer(proof: Proof | None) -> Finding:
    """Whether the kernel's events arrive; no proof: it was opened."""
    if proof is None or not proof.seen:
        return unknown("ring buffer", "opened, and nothing came through it yet")
    return ok("ring buffer", "the self-test's events came through it")


def socket_iterator(records: bytes) -> Finding:
    """The kernel's iterator over UDP sockets, by what it wrote here."""
    try:
        count = len(parse_facts(records))
    except WireError as error:
        return no_socket_iterator(str(error), features.REPORT_IT)
    words = f"loaded and read: {many(count, 'UDP socket')} in this network namespace"
    return ok(ITERATOR, words)


def no_socket_iterator(why: str, remedy: str) -> Finding:
    """The same where it cannot be had."""
    lost = f"of `udptrace sockets`, which has the rest from udp_diag or /proc: {NO_FACTS}"
    return degraded(ITERATOR, why, lost, remedy)


def _kind(probe: Probe) -> str:
    kinds = {"kprobe": probe.enter, "kretprobe": probe.exit}
    return " and ".join(kind for kind, function in kinds.items() if function)


def _facts(probe: Probe, symbol: str | None, *, proven: bool) -> dict[str, Fact]:
    return {"probe": probe.name, "kind": _kind(probe), "symbol": symbol, "proven": proven}
