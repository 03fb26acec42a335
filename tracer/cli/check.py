"""`udptrace check`: what the kernel would do with a datagram, and why."""

from __future__ import annotations

import click

from tracer.answer import Answer
from tracer.check import check
from tracer.cli.endpoints import Endpoint, endpoint
from tracer.cli.options import habit_option, output_options, target_options, wants_color
from tracer.cli.streams import say, show
from tracer.errors import BadAnswer, UdptraceError, UsageError
from tracer.events import Event, Family, NetnsInfo
from tracer.lookups import Lookups
from tracer.system.arrival import Ends, find_arrival
from tracer.system.containers.resolve import namespaces_now
from tracer.system.machine import ThisMachine
from tracer.system.netns import Netns, find_netns, netns_inum
from tracer.system.targets import resolve_targets
from tracer.trace import NAMES_S


@click.command("check")
@click.argument("source", metavar="SRC:PORT", callback=endpoint)
@click.argument("destination", metavar="DST:PORT", callback=endpoint)
@click.option(
    "--dev",
    "device",
    metavar="NAME|INDEX",
    help="The interface by which the datagram comes in.  [default: lo for what the namespace sends "
    "to itself; else the way to SRC]",
)
@target_options
@output_options
@habit_option
def command(
    source: Endpoint,
    destination: Endpoint,
    device: str | None,
    netns: tuple[str, ...],
    pids: tuple[int, ...],
    containers: tuple[str, ...],
    output_format: str,
    color: str,
) -> None:
    """Say which socket would take a datagram from SRC:PORT to DST:PORT, or which field refuses it.

    As it would be now, in one network namespace: this process's own, or that of -c, -N or -p.
    Nothing is sent and nothing is traced. It ends with 3 where no socket would take it.
    """
    ends = _ends(source, destination, device)
    answer = _ask(_netns(netns, pids, containers), ends)
    if output_format == "json":
        from tracer.render.json_line import json_line

        show(json_line(answer.to_json()))
    else:
        from tracer.render.check import check_text

        show(check_text(answer, color=wants_color(color)))
    if answer.verdict is None:
        raise BadAnswer(f"the datagram would be looked up nowhere: {answer.why}")
    if answer.cause is not None:
        raise BadAnswer(f"the datagram would miss: {answer.cause}")


def _ends(source: Endpoint, destination: Endpoint, device: str | None) -> Ends:
    """What is asked, as far as it can be meant. Raises UsageError; UdptraceError for a group."""
    ends = (source, destination)
    if len({":" in end.address for end in ends}) > 1:
        raise UsageError(f"{source.address} and {destination.address} are of two address families")
    if source.is_multicast or source.address == "255.255.255.255":
        raise UsageError(f"{source.address} can be no datagram's source")
    if destination.address in ("0.0.0.0", "::"):
        raise UsageError(f"{destination.address} can be no datagram's destination")
    if destination.is_multicast:
        raise UdptraceError(
            f"{destination.address} is a multicast group: who gets a copy depends on memberships "
            "and source filters, which no dump of sockets tells: not modelled"
        )
    devices = dict.fromkeys(filter(None, (device, *(end.scope for end in ends))))
    if len(devices) > 1:
        raise UsageError(f"by which interface does it come: {' or '.join(devices)}?")
    named = next(iter(devices), None)
    if named is None and any(end.is_link_local for end in ends):
        raise UsageError("a link-local address is on every link: say which, [fe80::1%eth0]:53")
    family: Family = "ipv6" if ":" in source.address else "ipv4"
    return Ends(family, source.address, source.port, destination.address, destination.port, named)


def _netns(netns: tuple[str, ...], pids: tuple[int, ...], containers: tuple[str, ...]) -> Netns:
    """The one namespace asked for. Raises UsageError, and UdptraceError where it is not found."""
    if "all" in netns:
        raise UsageError("-N all: a datagram comes into one network namespace")
    inums = {*resolve_targets(netns, pids).inums, *namespaces_now(containers)}
    if not (netns or pids or containers):
        inums = {netns_inum("/proc/self/ns/net") or 0}
    if len(inums) > 1:
        raise UsageError(f"these are {len(inums)} network namespaces: a datagram comes into one")
    found = find_netns(inums.pop(), pids)
    if found is None:
        raise UdptraceError(
            "the network namespace is not found: it has no process that is seen here, and no name "
            "in /run/netns"
        )
    return found


def _ask(netns: Netns, ends: Ends) -> Answer:
    """Look at the machine, and judge. Raises UdptraceError where the namespace cannot be read."""
    machine = ThisMachine()
    try:
        evidence, info = _evidence(machine, netns)
        arrival = find_arrival(netns, info, ends)
    except OSError as error:
        raise UdptraceError(f"the network namespace: {error.strerror or error}") from None
    finally:
        machine.containers.close()
    return check(evidence, machine.clock(), info, arrival)


def _evidence(machine: ThisMachine, netns: Netns) -> tuple[list[Event], NetnsInfo]:
    """What a live trace knows at its start, and of it what is known of the namespace asked for."""
    snapshot = machine.snapshot()
    infos = (event for event in snapshot.events if isinstance(event, NetnsInfo))
    info = next((info for info in infos if info.inum == netns.inum), None)
    if info is None:
        why = "; ".join(snapshot.problems) or "it is gone"
        raise UdptraceError(f"the network namespace cannot be looked at: {why}")
    for problem in snapshot.problems:
        say(problem)
    lookups = Lookups(machine)
    for event in snapshot.events:
        lookups.note(event)
    if not machine.containers.settle(NAMES_S):
        say("the names of containers take long to look up: some are missing")
    return [*snapshot.events, *machine.containers.events()], info
