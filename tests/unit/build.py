"""Builders that make synthetic events readable: sockets from "addr:port" text, times in ms."""

from __future__ import annotations

from tracer.events import (
    TCP_CLOSE,
    TCP_ESTABLISHED,
    Call,
    Close,
    Counters,
    Datagram,
    End,
    Expired,
    Family,
    FourTuple,
    Header,
    Holder,
    IcmpReceived,
    Loss,
    Miss,
    MissCount,
    NetnsInfo,
    Owners,
    PortDump,
    ReceivedIcmp,
    SockError,
    SocketSeen,
    SocketView,
    Task,
    Tick,
    Translation,
    Walk,
)

HOST, BOX, OTHER = 4026531840, 4026532179, 4026532301
COOKIES = {HOST: 1, BOX: 7, OTHER: 9}
NO_CONTAINER: dict[str, object] = {"container": None, "containers": [], "pod": None}
"""A namespace's containers in JSON, where it has none."""
MS = 1_000_000
START = 800_000 * MS
"""Monotonic time of the header; every ``ms`` below counts from it."""
REALTIME = 1_795_348_980_000 * MS
"""2026-11-22T12:03:00Z."""


def at(ms: float) -> int:
    """Milliseconds since the trace began, as the monotonic clock."""
    return START + round(ms * MS)


def split(endpoint: str) -> tuple[str, int]:
    """'10.0.0.1:53' or '[::1]:53' -> address and port."""
    address, _, port = endpoint.rpartition(":")
    return address.strip("[]"), int(port)


def sock(
    local: str,
    peer: str | None = None,
    *,
    inode: int = 100,
    netns: int = HOST,
    name: str | None = None,
    bound: bool | None = None,
    v6only: bool | None = None,
    local4: str | None = None,
    peer4: str | None = None,
    device: int = 0,
    cookie: int = 0,
    addr_lock: bool | None = None,
    reuseport: bool | None = None,
) -> SocketView:
    """A socket; ``peer`` makes it connected, ``bound`` is the port lock."""
    address, port = split(local)
    family: Family = "ipv6" if ":" in address else "ipv4"
    any_address = "::" if family == "ipv6" else "0.0.0.0"
    peer_address, peer_port = split(peer) if peer else (any_address, 0)
    return SocketView(
        sock=f"s{inode}" if name is None else name,
        inode=inode,
        cookie=cookie,
        netns=netns,
        netns_cookie=COOKIES[netns],
        family=family,
        state=TCP_ESTABLISHED if peer else TCP_CLOSE,
        local=address,
        lport=port,
        peer=peer_address,
        pport=peer_port,
        local4=local4,
        peer4=peer4,
        device=device,
        v6only=v6only,
        addr_lock=addr_lock,
        port_lock=bound,
        uid=0,
        reuseport=reuseport,
    )


def gram(
    src: str,
    dst: str,
    *,
    ifindex: int = 2,
    sdif: int = 0,
    ifname: str = "eth0",
    length: int = 13,
) -> Datagram:
    """A datagram between two 'addr:port'."""
    source, sport = split(src)
    target, dport = split(dst)
    family: Family = "ipv6" if ":" in source else "ipv4"
    return Datagram(family, source, sport, target, dport, ifindex, sdif, ifname, length)


def task(pid: int = 3467, comm: str = "nc", start_ns: int = 790_000 * MS) -> Task:
    return Task(pid, pid, comm, 0, start_ns)


def walk(*candidates: SocketView, lost: int = 0, truncated: bool = False, visited: int = 0) -> Walk:
    matching = len(candidates) + lost
    return Walk(max(visited, matching), matching, lost, truncated, candidates)


def miss(
    ms: float,
    datagram: Datagram,
    *candidates: SocketView,
    netns: int = HOST,
    total: int = 1,
    since: float | None = None,
    proven: bool = True,
    code: int = 3,
    walked: Walk | None = None,
    no_walk: bool = False,
    caller: str | None = "__udp4_lib_rcv",
    passes: int = 2,
) -> Miss:
    return Miss(
        time=at(ms),
        datagram=datagram,
        netns=netns,
        netns_cookie=COOKIES[netns],
        icmp_type=3 if datagram.family == "ipv4" else 1,
        icmp_code=code,
        proven=proven,
        passes=passes if proven else 0,
        caller=caller,
        since=at(ms if since is None else since),
        total=total,
        walk=None if no_walk else walked or walk(*candidates),
    )


def read(
    ms: float,
    missed: Miss,
    *sockets: SocketView,
    total: int | None = None,
    incomplete: str | None = None,
) -> PortDump:
    """What was read of a miss's port, in the millisecond before ``ms``."""
    found = len(sockets) if total is None else total
    netns = (missed.netns, missed.netns_cookie)
    port = missed.datagram.dport
    return PortDump(at(ms), at(ms - 1), missed.time, *netns, port, found, sockets, incomplete)


def count(
    ms: float,
    datagram: Datagram,
    total: int,
    *,
    since: float,
    last: float | None = None,
    netns: int = HOST,
    code: int = 3,
    sent: int | None = None,
    proven: bool | None = None,
) -> MissCount:
    return MissCount(
        time=at(ms),
        datagram=datagram,
        netns=netns,
        netns_cookie=COOKIES[netns],
        icmp_type=3 if datagram.family == "ipv4" else 1,
        icmp_code=code,
        since=at(since),
        last=at(ms if last is None else last),
        total=total,
        sent=sent,
        proven=proven,
    )


def expired(ms: float, before: float) -> Expired:
    """The kernel has dropped the counters of what last missed before a time."""
    return Expired(at(ms), at(before))


def counters(
    ms: float,
    netns: int = HOST,
    *,
    took: float = 0,
    cookie: int | None = None,
    final: bool = False,
    **values: int,
) -> Counters:
    """A reading that began at ``ms``, the misses read again ``took`` ms later."""
    known = COOKIES[netns] if cookie is None else cookie
    return Counters(at(ms), at(ms + took), netns, known, tuple(values.items()), final)


def connect(
    ms: float,
    before: SocketView,
    after: SocketView,
    *,
    by: Task | None = None,
    took: float = 0.02,
    error: int = 0,
) -> Call:
    requested = (after.peer, after.pport) if after.pport else None
    entered = at(ms) - round(took * MS)
    return Call(at(ms), "connect", entered, by or task(), requested, before, after, error)


def bind(ms: float, after: SocketView, *, by: Task | None = None) -> Call:
    before = sock("[::]:0" if after.family == "ipv6" else "0.0.0.0:0", inode=after.inode)
    requested = (after.local, after.lport)
    return Call(at(ms), "bind", at(ms) - 5000, by or task(), requested, before, after, 0)


def autobind(ms: float, after: SocketView, *, by: Task | None = None) -> Call:
    before = sock("[::]:0" if after.family == "ipv6" else "0.0.0.0:0", inode=after.inode)
    return Call(at(ms), "autobind", at(ms) - 5000, by or task(), None, before, after, 0)


def disconnect(
    ms: float,
    before: SocketView,
    after: SocketView,
    *,
    by: Task | None = None,
    took: float = 0.005,
) -> Call:
    """connect(AF_UNSPEC)."""
    entered = at(ms) - round(took * MS)
    return Call(at(ms), "disconnect", entered, by or task(), None, before, after, 0)


def close(ms: float, socket: SocketView, *, by: Task | None = None) -> Close:
    return Close(at(ms), by or task(), socket)


def error(ms: float, socket: SocketView, errno: int = 111) -> SockError:
    return SockError(at(ms), socket, errno)


def received(
    ms: float,
    datagram: Datagram,
    sender: str | None = None,
    *,
    netns: int = HOST,
    total: int = 1,
    code: int = 3,
) -> IcmpReceived:
    """A port-unreachable about a datagram sent from ``netns``, from its destination."""
    icmp = ReceivedIcmp(sender or datagram.dst, 3 if datagram.family == "ipv4" else 1, code)
    return IcmpReceived(at(ms), datagram, netns, COOKIES[netns], icmp, at(ms), total)


def seen(ms: float, socket: SocketView) -> SocketSeen:
    return SocketSeen(at(ms), socket, "udp_diag")


def owners(ms: float, inode: int, *holders: tuple[int, str, int]) -> Owners:
    found = tuple(Holder(pid, comm, fd, 790_000 * MS) for pid, comm, fd in holders)
    return Owners(at(ms), inode, found)


def nat(
    ms: float,
    datagram: Datagram,
    src: str,
    dst: str,
    *,
    receiver: int = BOX,
    netns: int = HOST,
    reply: bool = False,
) -> Translation:
    """A datagram found to have been sent between these ends."""
    d = datagram
    return Translation(
        time=at(ms),
        family=d.family,
        datagram=FourTuple(d.src, d.sport, d.dst, d.dport),
        receiver=receiver,
        netns=netns,
        netns_cookie=COOKIES[netns],
        before=FourTuple(*split(src), *split(dst)),
        direction="reply" if reply else "original",
    )


def namespace(
    ms: float,
    inum: int,
    name: str | None,
    *addresses: str,
    links: tuple[tuple[int, str], ...] = ((1, "lo"), (2, "eth0")),
) -> NetnsInfo:
    return NetnsInfo(at(ms), inum, COOKIES[inum], name, addresses, links)


def header(*, probes: tuple[str, ...] | None = None) -> Header:
    attached = ("__ip4_datagram_connect", "udp4_lib_lookup2", "__icmp_send", "sk_error_report")
    return Header(
        time=START,
        format=1,
        tool="udptrace",
        version="0.1.0",
        host="edge-1",
        boot_id="4f9c1f5e-8a53-4f0f-9a39-0c9f3c5b7a10",
        kernel="6.12.107",
        machine="x86_64",
        argv=("udptrace",),
        targets=(),
        target_names=(),
        probes=attached if probes is None else probes,
        missing=(),
        realtime_ns=REALTIME,
        boottime_ns=START + 5_000 * MS,
    )


def loss(ms: float, what: str = "close", lost: int = 3) -> Loss:
    return Loss(at(ms), what, lost)


def tick(ms: float) -> Tick:
    return Tick(at(ms))


def end(ms: float, reason: str = "interrupted") -> End:
    return End(at(ms), reason)
