"""An episode with its verdict, put together as an incident."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from tracer.between import Between
from tracer.causes import Cause
from tracer.describe import Describer
from tracer.episode import Episode
from tracer.errnos import errno_name
from tracer.events import LOSSES, Header, Miss, SocketView
from tracer.icmp import icmp_name, is_soft
from tracer.incident import Icmp, IcmpStatus, Incident, Lookup, NotTold, Told
from tracer.judge import Verdict
from tracer.match import Mismatch, is_connected
from tracer.parts import SetBy, Socket
from tracer.remedies import advise
from tracer.socktable import Ends, ends_of

UNSENT = ("rate-limited", "suppressed")
"""What became of an ICMP that never left."""


def compose(
    episode: Episode,
    verdict: Verdict,
    describer: Describer,
    header: Header | None,
    between: Between,
) -> Incident:
    """The incident as it stands now: the first version, or the next with the same id and time."""
    miss, earlier = episode.miss, episode.incident
    socket_before, origin_before = (earlier.socket, earlier.origin) if earlier else (None, None)
    told = _told(episode, describer)
    origin = _origin(episode)
    sender = describer.socket(origin, miss.time) if origin else None
    refusing = describer.socket(verdict.socket, miss.time) if verdict.socket else None
    not_told = _not_told(episode, origin, sender, header)
    untold, untold_exact = _untold(episode, not_told, header)
    incident = Incident(
        id=earlier.id if earlier else _id(episode, header),
        seq=earlier.seq + 1 if earlier else 1,
        host=header.host if header else None,
        boot_id=header.boot_id if header else None,
        time=describer.time(miss.time),
        mono_ns=miss.time,
        last_time=describer.time(episode.last),
        count=episode.count,
        datagram=describer.datagram(miss),
        nat=describer.nat(episode.translated) if episode.translated else None,
        netns=describer.netns(miss.netns, miss.netns_cookie),
        icmp=_icmp(episode, header),
        lookup=_lookup(miss),
        cause=verdict.cause,
        mismatch=verdict.mismatch,
        socket=_described(refusing, socket_before),
        candidates=verdict.candidates,
        origin=_described(sender, origin_before),
        told=told,
        not_told=not_told,
        untold=untold,
        untold_exact=untold_exact,
        hints=(),
        advice=(),
        certain=verdict.certain and not episode.losses,
        caveats=(*verdict.caveats, *_caveats(episode, origin, header)),
        set_by=_set_by(verdict, episode, describer),
        sender_holds_peer=_sender_holds_peer(verdict.mismatch, origin, describer),
        packet=miss.packet,
    )
    hints = verdict.hints + between.hints(incident, episode.nat, describer)
    return replace(incident, hints=hints, advice=advise(incident))


def _is_the_same(earlier: Socket, now: Socket) -> bool:
    return (earlier.inode, earlier.local, earlier.peer) == (now.inode, now.local, now.peer)


def _described(now: Socket | None, earlier: Socket | None) -> Socket | None:
    """A socket at the miss. An update keeps what was told of it: its history may be forgotten by
    now, or be another's; only its owners and its close can become known later."""
    if now is None or earlier is None or not _is_the_same(earlier, now):
        return now
    held = any(process.fd is not None for process in now.processes)
    return replace(
        earlier,
        netns=now.netns,
        processes=now.processes if held else earlier.processes,
        closed=earlier.closed or now.closed,
    )


def _set_by(verdict: Verdict, episode: Episode, describer: Describer) -> tuple[SetBy, ...]:
    """What gave the socket each value that refused; an update keeps what was told, as above."""
    view, earlier = verdict.socket, episode.incident
    if view is None:
        return ()
    if earlier is not None and earlier.socket is not None:
        same_socket = earlier.socket.inode == view.inode
        if same_socket and earlier.mismatch == verdict.mismatch:
            return earlier.set_by
    return tuple(describer.set_by(check, view, episode.miss) for check in verdict.mismatch)


def _sender_holds_peer(
    mismatch: tuple[Mismatch, ...], origin: SocketView | None, describer: Describer
) -> bool:
    """Whether the sender's namespace has the address that the socket waits to hear from."""
    awaited = [check.socket for check in mismatch if check.field is Cause.REMOTE_ADDRESS]
    return origin is not None and any(describer.holds(origin, a) for a in awaited)


def _id(episode: Episode, header: Header | None) -> str:
    """From the boot and the first event: 16 hexadecimal digits."""
    boot = header.boot_id if header else ""
    miss = episode.miss
    *key, _received = episode.key  # not in the text: ids of older traces stay what they were
    text = "\0".join([boot, *map(str, (miss.time, miss.since, miss.total, *key))])
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _icmp(episode: Episode, header: Header | None) -> Icmp:
    miss = episode.miss
    name = icmp_name(miss.datagram.family, miss.icmp_type, miss.icmp_code)
    sender = episode.received.sender if episode.received else None
    return Icmp(miss.icmp_type, miss.icmp_code, name, icmp_status(episode, header), sender)


def icmp_status(episode: Episode, header: Header | None) -> IcmpStatus:
    """The ICMP's fate. The probe at the miss sees the attempt to send; that a local socket was told
    proves the rest, and so does the probe behind all limits, whose silence says "suppressed"."""
    if episode.received is not None:
        return "received"
    if episode.told:
        return "sent"
    if episode.fate is not None:
        return episode.fate
    silent = episode.streamed and not episode.losses and _sends_traced(header)
    return "suppressed" if silent else "attempted"


def _sends_traced(header: Header | None) -> bool:
    """Whether ICMPs of either family are seen to leave (net/ipv4/icmp.c, net/ipv6/icmp.c)."""
    pushes = {"icmp_push_reply", "icmpv6_push_pending_frames"}
    return header is not None and pushes <= {probe.split(".", 1)[0] for probe in header.probes}


def _lookup(miss: Miss) -> Lookup:
    walk = miss.walk
    return Lookup(
        passes=miss.passes,
        visited=walk.visited if walk else None,
        matching=walk.matching if walk else None,
        truncated=walk.truncated if walk else None,
        caller=miss.caller,
    )


def _origin(episode: Episode) -> SocketView | None:
    """Who sent it: the socket that was told is the best evidence."""
    for error in episode.told.values():
        return error.socket
    return episode.origin.socket


def _told(episode: Episode, describer: Describer) -> tuple[Told, ...]:
    before = episode.incident.told if episode.incident else ()
    new = list(episode.told.values())[len(before) :]
    return before + tuple(
        Told(
            socket=describer.socket(error.socket, error.time),
            error=errno_name(error.errno),
            time=describer.time(error.time),
        )
        for error in new
    )


def _not_told(
    episode: Episode,
    origin: SocketView | None,
    sender: Socket | None,
    header: Header | None,
) -> tuple[NotTold, ...]:
    """The sender, when no error was queued on it (net/ipv4/udp.c:__udp4_lib_err): the view of it,
    and what that is described as."""
    if origin is None or sender is None or episode.told:
        return ()
    why = _why_not_told(episode, origin, header)
    return (NotTold(sender, why),) if why else ()


def _why_not_told(episode: Episode, origin: SocketView, header: Header | None) -> str | None:
    if not is_connected(origin):
        return "unconnected"
    if ends_of(origin) != Ends(*episode.sent):
        return "connected to another peer"
    status = icmp_status(episode, header)
    if status in UNSENT:
        return f"the ICMP was {status}"
    family = episode.miss.datagram.family
    if is_soft(family, episode.miss.icmp_code):
        option = "IP_RECVERR" if family == "ipv4" else "IPV6_RECVERR"
        return f"only a socket with {option} is told of this code"
    return "no error was seen queued on it" if _errors_traced(header) else None


def _untold(
    episode: Episode, not_told: tuple[NotTold, ...], header: Header | None
) -> tuple[int, bool]:
    """How many of the misses are known to have been told to nobody, and whether those are all.

    What another machine did with an ICMP that left is not known here, and not counted.
    """
    status = icmp_status(episode, header)
    if not_told and status not in UNSENT and _errors_traced(header):
        return episode.count, True
    known = episode.fates_counted if episode.count > 1 else status != "attempted"
    return max(0, min(episode.count, episode.unsent)), known and episode.unsent <= episode.count


def _errors_traced(header: Header | None) -> bool:
    """Whether the probe that sees errors queued was attached (sk_error_report or its forebear)."""
    return header is None or any("error_report" in probe for probe in header.probes)


def _caveats(episode: Episode, origin: SocketView | None, header: Header | None) -> list[str]:
    caveats = list(episode.caveats)
    if not episode.streamed:
        caveats.append("known from the kernel's counter of it only")
    elif episode.unseen:
        caveats.append(f"{episode.unseen} earlier ones were counted without their evidence")
    if origin is None and episode.origin.caveat:
        caveats.append(episode.origin.caveat)
    if not _errors_traced(header):
        caveats.append("who was told is not known: that probe is not attached")
    if episode.more_told:
        caveats.append(f"{episode.more_told} more sockets were told")
    for what, count in episode.losses.items():
        caveats.append(f"{count} {LOSSES.get(what, what)} lost around that time")
    return caveats
