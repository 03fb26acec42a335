"""The one table of probes: what is attached where, and what is lost without it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probe:
    """A kernel function and the BPF programs on it.

    ``symbols`` are alternatives, the newest kernel's first. ``without`` says, for an optional
    probe, what the trace lacks when it cannot be attached.
    """

    name: str
    symbols: tuple[str, ...]
    enter: str | None
    exit: str | None = None
    required: bool = False
    without: str = ""
    provable: bool = True
    """The self-test can show that it fires."""
    goes_on: str | None = None
    """The program that ``enter`` goes on in, by a tail call."""


# On the receive path, so the ones that `--lookups off` leaves out.
LOOKUPS = (
    Probe("lookup", ("udp4_lib_lookup2",), "lookup_enter", required=True),
    Probe(
        "lookup6",
        ("udp6_lib_lookup2",),
        "lookup6_enter",
        without="how many IPv6 lookups missed is not known",
    ),
)

PROBES = (
    Probe("connect", ("__ip4_datagram_connect",), "connect_enter", "connect_exit", required=True),
    Probe(
        "connect6",
        ("__ip6_datagram_connect",),
        "connect6_enter",
        "connect6_exit",
        without="connect() of IPv6 sockets is not recorded",
    ),
    *LOOKUPS,
    # icmp_send is an inline over it since 5.0.
    Probe("icmp", ("__icmp_send",), "icmp_enter", required=True, goes_on="send_evidence"),
    Probe(
        "icmp6",
        ("icmp6_send",),
        "icmp6_enter",
        without="IPv6 misses are not seen",
        goes_on="send_evidence",
    ),
    # Behind every limit and check; the tracepoint icmp:icmp_send, which says the same, is not in
    # 5.10 (db3efdcf70c7 "net/ipv4: add tracepoint for icmp_send", 6.11, backported to 6.1).
    Probe(
        "push",
        ("icmp_push_reply",),
        "push_enter",
        without="whether an ICMP left is not known",
    ),
    Probe(
        "push6",
        ("icmpv6_push_pending_frames",),
        "push6_enter",
        without="whether an ICMPv6 left is not known",
    ),
    # Loopback, where the self-test runs, knows no limit.
    Probe(
        "limit",
        ("icmp_global_allow",),
        None,
        "limit_exit",
        without="an ICMP the global rate limit stopped is shown as suppressed",
        provable=False,
    ),
    Probe(
        "peer-limit",
        ("inet_peer_xrlim_allow",),
        None,
        "limit_exit",
        without="an ICMP a per-peer rate limit stopped is shown as suppressed",
        provable=False,
    ),
    # 5.15 gave sk->sk_error_report() one caller: e3ae2365efc1 "net: sock: introduce
    # sk_error_report"; before, UDP's sockets have sock_def_error_report there.
    Probe(
        "error",
        ("sk_error_report", "sock_def_error_report"),
        "error_enter",
        without="who was told ECONNREFUSED is not known",
    ),
    Probe(
        "icmp-error",
        ("udp_err",),
        "icmp_error_enter",
        "icmp_error_exit",
        without="what another machine refused is not told",
    ),
    # Until 7.2 udpv6_err is a call of __udp6_lib_err and nothing else, which cannot be probed.
    Probe(
        "icmp-error6",
        ("__udp6_lib_err", "udpv6_err"),
        "icmp6_error_enter",
        "icmp_error_exit",
        without="what another machine refused over IPv6 is not told",
    ),
    Probe(
        "disconnect",
        ("__udp_disconnect",),
        "disconnect_enter",
        "disconnect_exit",
        without="connect(AF_UNSPEC) is not recorded",
    ),
    Probe("close", ("udp_destroy_sock",), "close_enter", without="closed sockets are not known"),
    Probe(
        "close6",
        ("udpv6_destroy_sock",),
        "close_enter",
        without="closed IPv6 sockets are not known",
    ),
    Probe("bind", ("inet_bind",), "bind_enter", "bind_exit", without="bind() is not recorded"),
    Probe(
        "bind6",
        ("inet6_bind",),
        "bind_enter",
        "bind_exit",
        without="bind() of IPv6 sockets is not recorded",
    ),
    Probe(
        "autobind",
        ("inet_autobind",),
        "autobind_enter",
        "autobind_exit",
        without="the kernel's choices of port are not recorded",
    ),
)

# What `udptrace states` alone shows.
STATES = (
    Probe(
        "created",
        ("udp_init_sock",),
        "create_enter",
        without="when a socket was made is not shown",
    ),
    # Its own since 6.2, and in stable kernels: d38afeec26ed "tcp/udp: Call inet6_destroy_sock() in
    # IPv6 sk->sk_destruct()". Before, IPv6's are made by IPv4's function.
    Probe(
        "created6",
        ("udpv6_init_sock", "udp_init_sock"),
        "create6_enter",
        without="when an IPv6 socket was made is not shown",
    ),
    Probe(
        "connecting",
        ("inet_dgram_connect",),
        "dgram_connect_enter",
        "dgram_connect_exit",
        without="whether connect() or a send had the kernel choose a port is not known",
    ),
)
