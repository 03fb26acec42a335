"""The kernel's counters: as two kernels print them, and as none would."""

from __future__ import annotations

from tracer.system.snmp import WANTED, parse_counters, read_counters

# Debian 12's and later; 5.10 has neither MemErrors nor the ICMP's rate limits.
SNMP = b"""\
Icmp: InMsgs OutDestUnreachs OutRateLimitGlobal OutRateLimitHost
Icmp: 9 8 7 6
IcmpMsg: InType3 OutType3
IcmpMsg: 8 8
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors \
IgnoredMulti MemErrors
Udp: 100 1 2 200 3 4 5 6 7
UdpLite: InDatagrams NoPorts InErrors
UdpLite: 11 12 13
"""
SNMP6 = b"""\
Ip6InReceives                   \t4
Icmp6OutDestUnreachs            \t21
Icmp6OutMsgs                    \t22
Udp6InDatagrams                 \t30
Udp6NoPorts                     \t31
Udp6InErrors                    \t32
UdpLite6NoPorts                 \t33
"""


def test_what_is_wanted_is_found() -> None:
    assert dict(parse_counters(SNMP, SNMP6)) == {
        "UdpNoPorts": 1,
        "UdpInErrors": 2,
        "UdpRcvbufErrors": 3,
        "UdpSndbufErrors": 4,
        "UdpInCsumErrors": 5,
        "UdpIgnoredMulti": 6,
        "UdpMemErrors": 7,
        "IcmpOutDestUnreachs": 8,
        "IcmpOutRateLimitGlobal": 7,
        "IcmpOutRateLimitHost": 6,
        "Udp6NoPorts": 31,
        "Udp6InErrors": 32,
        "Icmp6OutDestUnreachs": 21,
    }


def test_what_a_kernel_does_not_have_is_left_out() -> None:
    old = SNMP.replace(b" MemErrors", b"").replace(b" 6 7\n", b" 6\n")
    names = dict(parse_counters(old, b""))
    assert "UdpMemErrors" not in names
    assert "UdpNoPorts" in names
    assert not any(name.startswith(("Udp6", "Icmp6")) for name in names)


def test_lines_that_make_no_sense_are_left_out() -> None:
    for text in (
        b"",
        b"\n\n",
        b"Udp:",
        b"Udp:\n",
        b"Udp: NoPorts\nUdp: 1 2\n",
        b"Udp: NoPorts\nIcmp: 1\n",
        b"Udp: NoPorts\nUdp: -1\n",
        b"Udp: NoPorts\nUdp: \xff\n",
        b"Udp: NoPorts\nUdp: " + b"9" * 5000,
    ):
        assert parse_counters(text, b"") == ()
        assert parse_counters(b"", b"Udp6NoPorts\nUdp6NoPorts x\nUdp6NoPorts 1 2\n" + text) == ()


def test_this_machines_own() -> None:
    names = [name for name, _ in read_counters()]
    assert {"UdpNoPorts", "UdpInErrors", "UdpRcvbufErrors", "UdpInCsumErrors"} <= set(names)
    assert names == [name for name in WANTED if name in names]
