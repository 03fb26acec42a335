"""The words: why the datagram was not taken, and a remedy that fits the two ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.build import (
    BOX,
    HOST,
    bind,
    close,
    connect,
    disconnect,
    error,
    gram,
    miss,
    namespace,
    owners,
    seen,
    sock,
    task,
)
from tests.unit.linking import only
from tests.unit.scenes import run_a
from tracer.advice import explain
from tracer.events import Event, NetnsInfo, SocketView
from tracer.incident import Incident
from tracer.remedies import advise

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")


def refused(view: SocketView, *before: Event) -> Incident:
    return only(*before, miss(100_000, DATAGRAM, view))


def test_the_advice_of_an_incident_is_what_advise_says() -> None:
    incident = refused(sock("127.0.0.1:53"))
    assert incident.advice == advise(incident)


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (sock("127.0.0.1:53"), "bound to 127.0.0.1; this was for 10.0.0.1"),
        (
            sock("10.0.0.2:53", "10.0.0.9:4000", addr_lock=False),
            "tied by connect() to 10.0.0.2; this was for 10.0.0.1",
        ),
        (
            sock("10.0.0.2:53", "10.0.0.9:4000", addr_lock=True),
            "bound to 10.0.0.2; this was for 10.0.0.1",
        ),
        (
            sock("10.0.0.2:53", "10.0.0.9:4000"),
            "bound, or tied by connect(), to 10.0.0.2; this was for 10.0.0.1",
        ),
        (
            sock("10.0.0.1:53", "10.0.0.8:4000"),
            "takes datagrams from 10.0.0.8 only; this came from 10.0.0.9",
        ),
        (
            sock("10.0.0.1:53", "10.0.0.9:69"),
            "takes datagrams from port 69 of 10.0.0.9 only; this came from port 4000",
        ),
        (
            sock("10.0.0.2:53", "10.0.0.8:69", addr_lock=True),
            "bound to 10.0.0.2; this was for 10.0.0.1; takes datagrams from 10.0.0.8 port 69 only; "
            "this came from 10.0.0.9 port 4000",
        ),
        (sock("0.0.0.0:53", device=3), "bound to 3; this came by eth0"),
        (sock("[::]:53", v6only=True), "takes IPv6 only (IPV6_V6ONLY); this is IPv4"),
    ],
)
def test_why(view: SocketView, why: str) -> None:
    assert explain(refused(view)) == why


def test_a_vrf_is_explained() -> None:
    datagram = gram("10.0.0.9:4000", "10.0.0.1:53", ifindex=9, sdif=2, ifname="blue")
    incident = only(miss(1000, datagram, sock("0.0.0.0:53")))
    assert explain(incident) == "bound to no interface; this came by blue, inside a VRF"
    assert incident.advice == (
        "blue is a VRF, which a socket bound to no interface does not hear: bind it to blue "
        "(SO_BINDTODEVICE, or start it with ip vrf exec blue), or set "
        f"net.ipv4.udp_l3mdev_accept=1 in netns {HOST}",
    )


def test_a_name_in_a_command_is_one_word_of_it() -> None:
    """Root pastes it: whoever has a namespace of his own chooses what its VRF is called."""
    datagram = gram("10.0.0.9:4000", "10.0.0.1:53", ifindex=9, sdif=2, ifname="a;reboot")
    (advice,) = only(miss(1000, datagram, sock("0.0.0.0:53"))).advice
    assert "start it with ip vrf exec 'a;reboot')" in advice
    named = namespace(1, HOST, "$(reboot)")
    (advice,) = only(named, miss(1000, gram("10.0.0.9:4000", "10.0.0.1:53"))).advice
    assert "ip netns exec '$(reboot)' ss -uanp" in advice


def test_a_made_up_address_in_a_command_is_one_word_of_it() -> None:
    """A recording may have anything for one."""
    unreachable = miss(1000, gram("10.0.0.9:4000", "10.0.0.1:53"), proven=False, caller="ip_error")
    made_up = replace(unreachable, datagram=replace(unreachable.datagram, dst="`reboot`"))
    (advice,) = only(made_up).advice
    assert advice.endswith("ip route get '`reboot`' says what there is")


def test_a_wildcard_socket_tied_by_its_connect() -> None:
    tied = sock("10.0.0.2:53", "10.0.0.9:4000", inode=7)
    (advice,) = refused(tied, connect(1, sock("0.0.0.0:53", inode=7), tied)).advice
    assert advice == (
        "its connect() tied 0.0.0.0:53 to 10.0.0.2: bind the address the clients use, 10.0.0.1 "
        "(nc -s 10.0.0.1), or do not connect(): answer with sendmsg() and IP_PKTINFO"
    )


def test_the_netcat_option_is_for_netcat() -> None:
    tied = sock("10.0.0.2:53", "10.0.0.9:4000", inode=7)
    by = task(1, "named")
    (advice,) = refused(tied, connect(1, sock("0.0.0.0:53", inode=7), tied, by=by)).advice
    assert "nc -s" not in advice


def test_a_connect_before_the_trace_is_known_by_the_missing_lock() -> None:
    (advice,) = refused(sock("10.0.0.2:53", "10.0.0.9:4000", addr_lock=False)).advice
    assert advice.startswith("its connect() tied it to 10.0.0.2: bind the address")


def test_ipv6_answers_with_its_own_ancillary_data() -> None:
    view = sock("[2001:db8::2]:53", "[2001:db8::9]:4000", addr_lock=False)
    datagram = gram("[2001:db8::9]:4000", "[2001:db8::1]:53")
    (advice,) = only(miss(1000, datagram, view, code=4)).advice
    assert advice.endswith("answer with sendmsg() and IPV6_PKTINFO")


def test_an_address_kept_from_an_earlier_connect() -> None:
    first = sock("10.0.0.2:53", "10.0.0.8:4000", inode=7)
    tied = sock("10.0.0.2:53", "10.0.0.9:4000", inode=7)
    (advice,) = refused(
        tied, connect(1, sock("0.0.0.0:53", inode=7), first), connect(2, first, tied)
    ).advice
    assert advice == (
        "the route chose 10.0.0.2 at an earlier connect(), and a later one keeps what is there: "
        "connect(AF_UNSPEC) in between, a new socket, or bind 10.0.0.1 first"
    )


def test_a_client_that_is_sent_to_at_another_of_its_addresses() -> None:
    tied = sock("10.0.0.2:53", "10.0.0.9:4000", inode=7, bound=False)
    server = sock("10.0.0.9:4000", inode=8, netns=BOX)
    events = (connect(1, sock("0.0.0.0:53", inode=7), tied, by=task(3, "app")), seen(2, server))
    (advice,) = refused(tied, *events, owners(3, 8, (9, "server", 3))).advice
    assert advice == (
        "its connect() tied it to 10.0.0.2, the source of all it sends: have server[9] send to "
        "10.0.0.2, or bind 10.0.0.1 before connect()"
    )


def test_bound_to_loopback_or_to_another_address() -> None:
    assert refused(sock("127.0.0.1:53")).advice == (
        "bound to 127.0.0.1, it takes local traffic only: bind 10.0.0.1 or 0.0.0.0 to be reached "
        "from elsewhere",
    )
    assert refused(sock("10.0.0.2:53")).advice == (
        "have the sender send to 10.0.0.2, or bind 10.0.0.1 or 0.0.0.0 instead",
    )
    incident = only(
        owners(1, 11, (9, "dig", 3)),
        miss(2, gram("127.0.0.1:4000", "127.0.0.1:53"), sock("127.0.0.53:53")),
        error(3, sock("127.0.0.1:4000", "127.0.0.1:53", inode=11)),
    )
    assert incident.advice == (
        "have dig[9] send to 127.0.0.53, or bind 127.0.0.1 or 0.0.0.0 instead",
    )


def test_an_answer_from_another_address_than_was_asked() -> None:
    asked = sock("10.0.0.1:53", "10.0.0.8:4000", inode=7, bound=False)
    answering = sock("10.0.0.9:4000", "10.0.0.1:53", inode=8, netns=BOX)
    (plain,) = refused(asked).advice
    assert plain == (
        "the answer came from 10.0.0.9, but 10.0.0.8 was asked: bind the answering socket to "
        "10.0.0.8, or answer with sendmsg() and IP_PKTINFO"
    )
    before = sock("0.0.0.0:4000", inode=8, netns=BOX)
    (known,) = refused(asked, connect(1, before, answering)).advice
    assert "(the sender's connect() let the route choose 10.0.0.9)" in known
    assert "bind the answering socket to 10.0.0.8 (nc -s 10.0.0.8)" in known


SERVES = sock("10.0.0.1:53", "10.0.0.8:4000", inode=7, bound=True)
TWO_ADDRESSES = namespace(1, BOX, "b", "10.0.0.9", "10.0.0.8")


def advice_to(sender: SocketView, here: NetnsInfo = TWO_ADDRESSES) -> str:
    """The one for a server on a port of its own choice, refused datagrams of such a sender."""
    (advice,) = refused(SERVES, here, seen(2, sender), owners(3, 8, (9, "sip", 3))).advice
    return advice


def test_a_client_that_goes_on_from_another_of_its_addresses() -> None:
    """Known by its port, which the kernel chose; beside a second client, which has not got it."""
    sender = sock("10.0.0.9:4000", inode=8, netns=BOX, addr_lock=False, bound=False)
    assert advice_to(sender) == (
        "connected, it serves 10.0.0.8:4000 alone, and sip[9] sends from 10.0.0.9 now (the sender "
        "is bound to no address: the route chose 10.0.0.9): have that bind 10.0.0.8, leave the "
        "server unconnected (recvfrom(), sendto()) or give each peer a socket"
    )
    assert advice_to(sender, namespace(1, BOX, "b", "10.0.0.9")) == (
        "connected, it serves 10.0.0.8:4000 alone, and sip[9] is another client: leave it "
        "unconnected (recvfrom(), sendto()) or give each peer a socket"
    )


def test_two_ports_that_were_bound_tell_no_answer_from_a_request() -> None:
    sender = sock("10.0.0.9:4000", inode=8, netns=BOX, addr_lock=False, bound=True)
    doubtful = advice_to(sender)
    assert doubtful == (
        "this came from 10.0.0.9, and only 10.0.0.8 is heard (the sender is bound to no address: "
        "the route chose 10.0.0.9): if it is an answer, bind the answering socket to 10.0.0.8, or "
        "answer with sendmsg() and IP_PKTINFO; if it is a request, leave the socket it is for "
        "unconnected"
    )
    assert advice_to(replace(sender, port_lock=None)) == doubtful


def test_an_address_of_a_namespace_that_is_gone_is_no_evidence() -> None:
    """Its inode number is the next one's."""
    server = sock("10.0.0.1:53", "10.0.0.8:4000", inode=7, bound=True)
    sender = sock("10.0.0.9:4000", inode=8, netns=BOX, addr_lock=False)
    gone = replace(namespace(1, BOX, "b", "10.0.0.9", "10.0.0.8"), cookie=99)
    (advice,) = refused(server, gone, seen(2, sender)).advice
    assert "is another client" in advice


def test_an_answerer_that_is_bound_to_the_wrong_address() -> None:
    asked = sock("10.0.0.1:53", "10.0.0.8:4000", inode=7, bound=False)
    sender = sock("10.0.0.9:4000", inode=8, netns=BOX, addr_lock=True)
    (advice,) = refused(asked, seen(2, sender)).advice
    assert "was asked (the sender is bound to 10.0.0.9): bind the answering" in advice


def test_a_server_tied_to_one_client() -> None:
    (port,) = refused(sock("10.0.0.1:53", "10.0.0.9:69", bound=True)).advice
    assert port.startswith(
        "connected, it serves 10.0.0.9:69 alone, and a client that starts again, or whose NAT "
        "forgot it, comes from another port: leave it unconnected"
    )
    (both,) = refused(sock("10.0.0.1:53", "10.0.0.8:69", bound=True)).advice
    assert both.startswith("connected, it serves 10.0.0.8:69 alone, and the sender is another")


def test_server_or_client_is_not_guessed() -> None:
    (advice,) = refused(sock("10.0.0.1:53", "10.0.0.8:4000")).advice
    assert advice == (
        "connected, it takes datagrams from 10.0.0.8:4000 alone: have the sender send from there; "
        "a server is to be left unconnected (recvfrom(), sendto()), or gives each peer a socket"
    )


def test_a_client_that_is_answered_by_another() -> None:
    (advice,) = refused(sock("10.0.0.1:53", "10.0.0.9:70", bound=False)).advice
    assert advice.startswith("10.0.0.9:70 was asked and 10.0.0.9:4000 answers: have the peer")
    (tftp,) = refused(sock("10.0.0.1:53", "10.0.0.9:69", bound=False)).advice
    assert tftp.startswith("10.0.0.9:69 was asked and 10.0.0.9:4000 answers, as TFTP does: leave")


def test_a_client_that_is_answered_by_a_process_known() -> None:
    sender = sock("10.0.0.9:4000", inode=8, netns=BOX)
    known = (seen(2, sender), owners(3, 8, (9, "tftpd", 3)))
    (advice,) = refused(sock("10.0.0.1:53", "10.0.0.9:70", bound=False), *known).advice
    assert advice.startswith(
        "10.0.0.9:70 was asked and tftpd[9] answers from 10.0.0.9:4000: have the peer"
    )


def test_an_ipv6_peer_that_a_disconnect_left() -> None:
    stale = replace(sock("[::]:53", inode=7), peer="2001:db8::8")
    datagram = gram("[2001:db8::9]:4000", "[2001:db8::1]:53")
    (advice,) = only(miss(1000, datagram, stale, code=4)).advice
    assert advice == (
        "connect(AF_UNSPEC) leaves the peer's address, 2001:db8::8, in an IPv6 socket, and lookups "
        "go on comparing it: open a new socket instead"
    )


def test_every_failing_check_has_its_remedy() -> None:
    advice = refused(sock("10.0.0.2:53", "10.0.0.8:69", device=3)).advice
    assert [words.split()[0] for words in advice] == ["have", "connected,", "bind"]


def test_ipv6_only() -> None:
    (advice,) = refused(sock("[::]:53", v6only=True)).advice
    assert advice == (
        "clear IPV6_V6ONLY before bind() (its default is net.ipv6.bindv6only), or open an IPv4 "
        "socket on 10.0.0.1:53 beside it"
    )


def test_an_ipv6_address_is_ipv6_only() -> None:
    """One remedy, though the local address fails as well."""
    view = sock("[2001:db8::1]:53", inode=7, v6only=True)
    before = sock("[::]:0", inode=7, v6only=False)
    (advice,) = refused(view, replace(bind(1, view), before=before)).advice
    assert advice == (
        "bound to one IPv6 address it takes no IPv4: send to [2001:db8::1]:53, or open an IPv4 "
        "socket on 10.0.0.1:53 beside it"
    )


# Devices

LINKS = ((1, "lo"), (2, "eth0"), (3, "blue"))


def test_another_interface() -> None:
    (advice,) = refused(sock("0.0.0.0:53", device=3), namespace(1, HOST, "h", links=LINKS)).advice
    assert advice == (
        "bind it to eth0 or to no interface (SO_BINDTODEVICE), or have it come in by blue: the "
        "routes on its way decide"
    )


def test_an_interface_is_of_use_to_who_has_it() -> None:
    """A sender of another namespace has another lo."""
    known = (namespace(0, HOST, "h", links=LINKS), owners(3, 8, (9, "sip", 3)))
    rebind = "bind it to eth0 or to no interface (SO_BINDTODEVICE)"
    for device, netns, more in (
        (3, HOST, ", or have sip[9] send by blue"),
        (3, BOX, ", or have it come in by blue: the routes on its way decide"),
        (1, HOST, ", or have sip[9] send by lo"),
        (1, BOX, ""),
    ):
        sender = sock("10.0.0.9:4000", inode=8, netns=netns)
        view = sock("0.0.0.0:53", device=device)
        assert refused(view, *known, seen(2, sender)).advice == (rebind + more,)


def test_an_interface_by_the_scope_of_an_address() -> None:
    view = sock("[fe80::1]:53", "[fe80::2]:53", inode=7, device=3)
    made = connect(1, sock("[::]:53", inode=7), view)
    datagram = gram("[fe80::2]:53", "[fe80::1]:53")
    (advice,) = only(
        namespace(0, HOST, "h", links=LINKS), made, miss(1000, datagram, view, code=4)
    ).advice
    assert advice == (
        "the scope of the link-local address in its connect() bound it to blue: use another socket "
        "for what comes by eth0"
    )


def test_an_interface_that_a_disconnect_took_away() -> None:
    view = sock("0.0.0.0:53", inode=7)
    before = sock("0.0.0.0:53", "10.0.0.9:1", inode=7, device=3)
    datagram = gram("10.0.0.9:4000", "10.0.0.1:53", ifindex=3, sdif=2, ifname="blue")
    links = namespace(0, HOST, "h", links=LINKS)
    (advice,) = only(links, disconnect(1, before, view), miss(1000, datagram, view)).advice
    assert advice == (
        "its connect(AF_UNSPEC) unbound it from blue: bind it to blue again afterwards "
        "(SO_BINDTODEVICE)"
    )


# Closed

SERVER = sock("0.0.0.0:53", inode=7, bound=True)


def test_closed_by_whom_and_when() -> None:
    by = task(5, "dnsmasq")
    incident = only(
        bind(1, SERVER, by=by), close(99_999.66, SERVER, by=by), miss(100_000, DATAGRAM)
    )
    assert explain(incident) == "closed 340 us before, by dnsmasq[5]"
    assert incident.advice == ("start dnsmasq[5] again, or see why it closed the socket",)


def test_closed_after_it_was_told_an_error() -> None:
    incident = only(error(99_998, SERVER, 113), close(99_999, SERVER), miss(100_000, DATAGRAM))
    assert explain(incident) == "closed 1.0 ms before, by nc[3467], after it was told EHOSTUNREACH"
    assert incident.advice[0].startswith("it was closed after it was told EHOSTUNREACH:")


def test_a_client_that_closed_before_its_answer_came() -> None:
    client = replace(SERVER, port_lock=False)
    incident = only(close(99_999, client), miss(100_000, DATAGRAM))
    assert incident.advice == (
        "the answer came too late: its asker waits too little, or the answerer takes too long",
    )


# Races, no socket, rejected


def test_races() -> None:
    taken = sock("10.0.0.1:53", "10.0.0.9:4000", inode=7)
    during = connect(100_000.01, sock("0.0.0.0:53", inode=7), taken)
    spanned = only(miss(100_000, DATAGRAM, taken), during)
    assert explain(spanned) == (
        "takes such datagrams, but its connect() was under way at that moment"
    )
    assert "CVE-2024-57974" in spanned.advice[0]
    other = refused(taken)
    assert explain(other) == "takes it, yet the lookup just before did not find it"
    assert "have the sender repeat it" in other.advice[0]
    steered = only(miss(100_000, DATAGRAM, taken, passes=1))
    assert steered.hints == (
        "the lookup ended early, as it does when a BPF sk_lookup program refuses a datagram",
    )
    assert steered.advice == (
        f"see which BPF sk_lookup programs are attached to netns {HOST}: bpftool link list",
    )


@pytest.mark.parametrize(
    ("name", "why", "command"),
    [
        ("host", "nothing holds UDP port 53 in netns host", "is: ss -uanp 'sport = :53'"),
        ("web", "nothing holds UDP port 53 in netns web", "is: ip netns exec web ss -uanp"),
        (None, f"nothing holds UDP port 53 in netns {HOST}", "is: ss -uanp 'sport = :53'"),
    ],
)
def test_nothing_there(name: str | None, why: str, command: str) -> None:
    incident = only(namespace(1, HOST, name), miss(100_000, DATAGRAM))
    assert explain(incident) == why
    (advice,) = incident.advice
    assert command in advice
    assert "UDP has no listening state" in advice


def test_ipv4_alone_is_listened_to() -> None:
    datagram = gram("[2001:db8::9]:4000", "[2001:db8::1]:53")
    (advice,) = only(miss(1000, datagram, sock("0.0.0.0:53"), code=4)).advice
    assert advice == (
        "only IPv4 is listened to on port 53: bind [::]:53, which takes both without IPV6_V6ONLY, "
        "or send to an IPv4 address"
    )


@pytest.mark.parametrize(
    ("caller", "code", "why", "advice"),
    [
        (
            "nft_reject_ipv4_eval",
            3,
            "no lookup missed: nft_reject_ipv4_eval sent the ICMP (port-unreachable)",
            "find the reject rule in netns web: ip netns exec web nft list ruleset ip, chains with "
            "hook input or forward",
        ),
        (
            "nft_reject_bridge_eval",
            3,
            "no lookup missed: nft_reject_bridge_eval sent the ICMP (port-unreachable)",
            "find the reject rule in netns web: ip netns exec web nft list ruleset, chains with "
            "hook input or forward",
        ),
        (
            "reject_tg",
            13,
            "no lookup missed: reject_tg sent the ICMP (admin-prohibited)",
            "find the REJECT rule in netns web: ip netns exec web iptables-save, chain INPUT or "
            "FORWARD and those it calls",
        ),
        (
            "ipv4_link_failure",
            1,
            "no lookup missed: ipv4_link_failure sent the ICMP (host-unreachable)",
            "nobody answers for 10.0.0.1 on its link: look whether it is up, then at "
            "ip netns exec web ip neigh and ip netns exec web ip route get 10.0.0.1",
        ),
        (
            "ip_error",
            0,
            "no lookup missed: ip_error sent the ICMP (net-unreachable)",
            "netns web has no route to 10.0.0.1, or one that refuses: ip netns exec web ip route "
            "get 10.0.0.1 says what there is",
        ),
        (
            None,
            77,
            "no lookup missed: another caller sent the ICMP (type 3 code 77)",
            "look for a reject rule in netns web (ip netns exec web nft list ruleset, "
            "ip netns exec web iptables-save), then at its routes",
        ),
    ],
)
def test_rejected(caller: str | None, code: int, why: str, advice: str) -> None:
    web = namespace(1, BOX, "web")
    incident = only(web, miss(1000, DATAGRAM, netns=BOX, proven=False, caller=caller, code=code))
    assert explain(incident) == why
    assert incident.advice == (advice,)


@pytest.mark.parametrize(("netns", "chains"), [(HOST, "OUTPUT or INPUT"), (BOX, "INPUT or FORW")])
def test_where_it_was_rejected_depends_on_the_sender(netns: int, chains: str) -> None:
    sender = sock("10.0.0.9:4000", "10.0.0.1:53", inode=8, netns=netns)
    incident = refused_by_rule(seen(1, sender))
    assert f"chain {chains}" in incident.advice[0]


def refused_by_rule(*before: Event) -> Incident:
    return only(*before, miss(1000, DATAGRAM, proven=False, caller="reject_tg"))


def test_run_a_reads_as_the_seed_tells_it() -> None:
    incident = only(*run_a()[1:-1])
    assert incident.advice == (
        "its connect() tied 0.0.0.0:56789 to 172.17.0.1: bind the address the clients use, "
        "10.128.135.176 (nc -s 10.128.135.176), or do not connect(): answer with sendmsg() and "
        "IP_PKTINFO",
    )
