"""Addresses translated on the way: the ends before, and the sender found through them."""

from __future__ import annotations

import errno
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kernel.live import Json, Live, wait_for
from tests.kernel.net import Namespace, arrival, ip, told

IP_RECVERR = 11


@dataclass
class Path:
    """A client and a server in networks of their own, and the router between them."""

    client: Namespace
    router: Namespace
    server: Namespace
    c: str
    """The client's address."""
    s: str
    """The server's."""
    near: str
    """The router's, as the client sees it."""
    far: str
    """The router's, as the server sees it."""
    family: socket.AddressFamily = socket.AF_INET

    def udp(
        self, where: Namespace, bind: tuple[str, int], connect: tuple[str, int] | None = None
    ) -> socket.socket:
        return where.udp(bind=bind, connect=connect, family=self.family)

    def nft(self, rules: str) -> None:
        """Have the router translate."""
        nft(self.router, rules)


def nft(namespace: Namespace, rules: str) -> None:
    """Run nft in a namespace."""
    inside = ["ip", "netns", "exec", namespace.name, "nft", "-f", "-"]
    subprocess.run(inside, input=rules, text=True, check=True)


def path_of(family: socket.AddressFamily, *names: Namespace) -> Path:
    client, router, server = names
    if family == socket.AF_INET:
        made = Path(client, router, server, "10.73.1.2", "10.73.2.2", "10.73.1.1", "10.73.2.1")
        length, forward, default = "24", "net.ipv4.ip_forward", "-4"
    else:
        made = Path(
            client, router, server, "fd73:1::2", "fd73:2::2", "fd73:1::1", "fd73:2::1", family
        )
        length, forward, default = "64", "net.ipv6.conf.all.forwarding", "-6"
    for end, device, here, there in (
        (client, "c0", made.c, made.near),
        (server, "s0", made.s, made.far),
    ):
        ip("-n", end.name, "link", "add", "eth0", "type", "veth", "peer", "name", device,
           "netns", router.name)  # fmt: skip
        for space, name, address in ((end, "eth0", here), (router, device, there)):
            extra = ["nodad"] if family == socket.AF_INET6 else []
            ip("-n", space.name, "address", "add", f"{address}/{length}", "dev", name, *extra)
            ip("-n", space.name, "link", "set", name, "up")
    for end, gateway in ((client, made.near), (server, made.far)):
        ip("-n", end.name, default, "route", "add", "default", "via", gateway)
    subprocess.run(
        ["ip", "netns", "exec", router.name, "sysctl", "-qw", f"{forward}=1"], check=True
    )
    return made


@pytest.fixture
def path() -> Iterator[Path]:
    with (
        Namespace("router") as router,
        Namespace("server") as server,
        Namespace("client") as client,
    ):
        yield path_of(socket.AF_INET, client, router, server)


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def either(request: pytest.FixtureRequest) -> Iterator[Path]:
    with (
        Namespace("router") as router,
        Namespace("server") as server,
        Namespace("client") as client,
    ):
        yield path_of(request.param, client, router, server)


def end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def dnat(port: int, address: str, target: int) -> str:
    """A rule."""
    version, to = ("6", "ip6") if ":" in address else ("4", "ip")
    match = f"meta nfproto ipv{version} udp dport {port}"
    return f"{match} dnat {to} to {end(address, target)};"


def chain(hook: str, *rules: str) -> str:
    """The chain that translates there, now with no more than these rules."""
    head = f"type nat hook {hook} priority {100 if hook == 'postrouting' else -100};"
    begin, rest = f"table inet t {{\nchain {hook} {{ {head}", " ".join(rules)
    return f"{begin} }}\n}}\nflush chain inet t {hook}\n{begin} {rest} }}\n}}\n"


def before(incident: Json) -> tuple[str, int, str, int]:
    nat = incident["nat"]
    return nat["src"], nat["sport"], nat["dst"], nat["dport"]


def inside(namespace: Namespace, *command: str) -> str:
    """The output of a command in a namespace."""
    where = ["ip", "netns", "exec", namespace.name]
    return subprocess.run([*where, *command], stdout=subprocess.PIPE, text=True, check=True).stdout


# A published port


def test_a_published_port(live: Live, either: Path) -> None:
    """The client knows the router only; that it is told shows that the ICMP was translated too."""
    p = either
    p.nft(chain("prerouting", dnat(7300, p.s, 7301)))
    client = p.udp(p.client, (p.c, 6300), (p.near, 7300))
    client.send(b"nobody")
    incident = live.incident(dport=7301, src=p.c)
    assert before(incident) == (p.c, 6300, p.near, 7300)
    assert incident["nat"]["direction"] == "original"
    assert incident["nat"]["netns"]["inum"] == p.router.inum
    assert incident["netns"]["inum"] == p.server.inum
    assert incident["cause"] == "no-socket"
    assert incident["origin"]["local"] == end(p.c, 6300)
    assert incident["origin"]["peer"] == end(p.near, 7300)
    assert incident["origin"]["netns"]["inum"] == p.client.inum
    assert [t["socket"]["local"] for t in incident["told"]] == [end(p.c, 6300)]
    assert told(client) == errno.ECONNREFUSED
    # The ICMP that came in to the client is of this miss, not from another machine.
    assert live.incidents(dport=7300) == []


def test_a_published_port_lookalike_without_nat(live: Live, path: Path) -> None:
    p = path
    p.udp(p.client, (p.c, 6302), (p.s, 7302)).send(b"nobody")
    incident = live.incident(dport=7302)
    assert incident["nat"] is None
    assert incident["origin"]["local"] == end(p.c, 6302)
    assert [t["socket"]["local"] for t in incident["told"]] == [end(p.c, 6302)]


def test_a_published_port_lookalike_an_entry_that_translates_nothing(
    live: Live, path: Path
) -> None:
    p = path
    p.nft(chain("prerouting", dnat(7998, p.s, 7999)))
    p.udp(p.client, (p.c, 6303), (p.s, 7303)).send(b"nobody")
    incident = live.incident(dport=7303)
    assert "dport=7303" in inside(p.router, "conntrack", "-L", "-p", "udp")
    assert incident["nat"] is None
    assert incident["origin"]["local"] == end(p.c, 6303)


def test_a_published_port_lookalike_the_same_addresses_elsewhere(live: Live, path: Path) -> None:
    """Another router's entry fits, but a socket is connected to send just that without NAT."""
    p = path
    p.nft(chain("prerouting", dnat(7304, p.s, 7305)))
    p.udp(p.client, (p.c, 6304), (p.near, 7304)).send(b"through NAT")
    assert live.incident(dport=7305)["nat"]["netns"]["inum"] == p.router.inum
    with Namespace("router") as router, Namespace("server") as server, Namespace("client") as c:
        q = path_of(socket.AF_INET, c, router, server)
        q.udp(q.client, (q.c, 6304), (q.s, 7305)).send(b"straight")
        wait_for(lambda: len(live.incidents(dport=7305)) == 2, "the second incident")
        (incident,) = [i for i in live.incidents(dport=7305) if i["netns"]["inum"] == server.inum]
        assert incident["nat"] is None
        assert incident["origin"]["netns"]["inum"] == c.inum


def test_a_sender_told_without_a_connection(live: Live, path: Path) -> None:
    """IP_RECVERR: the error comes before anybody has looked up whose datagram it was."""
    p = path
    masquerade(p, 7307)
    client = p.udp(p.client, ("0.0.0.0", 6306))
    client.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    client.sendto(b"nobody", (p.s, 7307))
    incident = live.incident(dport=7307)
    assert before(incident) == (p.c, 6306, p.s, 7307)
    assert [t["socket"]["local"] for t in incident["told"]] == ["0.0.0.0:6306"]


def test_rejected_on_its_way(live: Live, path: Path) -> None:
    """By the router, which has tracked an earlier datagram of the flow."""
    p = path
    server = p.udp(p.server, (p.s, 7309))
    p.nft(chain("prerouting", dnat(7308, p.s, 7309)))
    client = p.udp(p.client, (p.c, 6308), (p.near, 7308))
    client.send(b"taken")
    assert arrival(server) == b"taken"
    p.nft(
        "table inet f {\nchain f { type filter hook forward priority 0; udp dport 7309 reject; }\n}"
    )
    client.send(b"rejected")
    incident = live.incident(dport=7309)
    assert incident["cause"] == "rejected"
    assert before(incident) == (p.c, 6308, p.near, 7308)
    assert incident["origin"]["local"] == end(p.c, 6308)


# Masquerade


def masquerade(p: Path, port: int) -> None:
    rule = f"udp dport {port} masquerade to :40000-40099;"
    p.nft(chain("postrouting", rule))


def test_masquerade(live: Live, either: Path) -> None:
    """The server is connected to the client's own address, which never arrives."""
    p = either
    masquerade(p, 7310)
    p.udp(p.server, (p.s, 7310), (p.c, 6310))
    client = p.udp(p.client, (p.c, 6310), (p.s, 7310))
    client.send(b"refused")
    incident = live.incident(dport=7310, dst=p.s)
    assert incident["datagram"]["src"] == p.far
    assert incident["datagram"]["sport"] in range(40000, 40100)
    assert before(incident) == (p.c, 6310, p.s, 7310)
    assert {m["field"] for m in incident["mismatch"]} == {"remote-address", "remote-port"}
    assert incident["origin"]["local"] == end(p.c, 6310)
    assert incident["origin"]["netns"]["inum"] == p.client.inum
    assert [t["socket"]["local"] for t in incident["told"]] == [end(p.c, 6310)]
    assert incident["hints"] == [
        f"as it was sent its {' and '.join(m['field'] for m in incident['mismatch'])} would have "
        f"been right: NAT in netns {p.router.name} changed it"
    ]


def test_masquerade_lookalike_what_is_not_masqueraded_is_taken(live: Live, path: Path) -> None:
    p = path
    masquerade(p, 7998)
    server = p.udp(p.server, (p.s, 7311), (p.c, 6311))
    p.udp(p.client, (p.c, 6311), (p.s, 7311)).send(b"taken")
    assert arrival(server) == b"taken"
    assert live.incidents(dport=7311) == []


def test_masquerade_lookalike_a_socket_with_the_address_translated_to(
    live: Live, path: Path
) -> None:
    """The router has one on the very address and port that the server sees; it sent nothing."""
    p = path
    p.nft(chain("postrouting", "udp dport 7312 masquerade;"))
    other = p.udp(p.router, ("0.0.0.0", 6312))
    client = p.udp(p.client, (p.c, 6312))
    client.sendto(b"nobody", (p.s, 7312))
    incident = live.incident(dport=7312)
    assert (incident["datagram"]["src"], incident["datagram"]["sport"]) == (p.far, 6312)
    assert incident["origin"]["netns"]["inum"] == p.client.inum
    assert [n["socket"]["local"] for n in incident["not_told"]] == [end(p.c, 6312)]
    assert told(other) == 0


# An answer


@pytest.mark.parametrize("translated", [True, False])
def test_an_answer(live: Live, path: Path, translated: bool) -> None:
    """It comes too late: the client sees it come from the router, which made it so."""
    p = path
    port = 7314 if translated else 7315
    asked = (p.near, 7313) if translated else (p.s, port)
    if translated:
        p.nft(chain("prerouting", dnat(7313, p.s, port)))
    server = p.udp(p.server, (p.s, port), (p.c, port - 1000))
    client = p.udp(p.client, (p.c, port - 1000), asked)
    client.send(b"question")
    assert arrival(server) == b"question"
    client.close()
    server.send(b"answer")
    incident = live.incident(dport=port - 1000)
    assert incident["cause"] == "closed"
    assert (incident["datagram"]["src"], incident["datagram"]["sport"]) == asked
    if translated:
        assert before(incident) == (p.s, port, p.c, port - 1000)
        assert incident["nat"]["direction"] == "reply"
    else:
        assert incident["nat"] is None
    assert incident["origin"]["netns"]["inum"] == p.server.inum
    assert [t["socket"]["local"] for t in incident["told"]] == [end(p.s, port)]
    assert told(server) == errno.ECONNREFUSED


# Translations kept


def advised(incident: Json, what: str) -> str:
    """The command of conntrack(8) in the advice or the hints."""
    (sentence,) = [text for text in incident[what] if "conntrack -D" in text]
    (command,) = re.findall(r"ip netns exec \S+ conntrack -D[-\w .:]*\d", sentence)
    return str(command)


def test_a_stale_entry(live: Live, either: Path) -> None:
    """The service has moved and the rule with it, but the flow goes on to where it was."""
    p = either
    p.nft(chain("prerouting", dnat(7316, p.s, 7317)))
    first = p.udp(p.server, (p.s, 7317))
    client = p.udp(p.client, (p.c, 6316), (p.near, 7316))
    client.send(b"first")
    assert arrival(first) == b"first"
    first.close()
    second = p.udp(p.server, (p.s, 7318))
    p.nft(chain("prerouting", dnat(7316, p.s, 7318)))
    client.send(b"refused")
    incident = live.incident(dport=7317, src=p.c)
    assert told(client) == errno.ECONNREFUSED
    assert incident["cause"] == "closed"
    assert before(incident) == (p.c, 6316, p.near, 7316)
    # A new flow goes by the rule, and by the advice the old one does too.
    p.udp(p.client, (p.c, 6317), (p.near, 7316)).send(b"new flow")
    assert arrival(second) == b"new flow"
    subprocess.run(advised(incident, "advice").split(), check=True)
    client.send(b"again")
    assert arrival(second) == b"again"


def test_a_flow_older_than_its_rule(live: Live, path: Path) -> None:
    p = path
    p.nft(chain("prerouting", dnat(7998, p.s, 7999)))
    server = p.udp(p.server, ("0.0.0.0", 7319))
    client = p.udp(p.client, (p.c, 6319), (p.near, 7319))
    client.send(b"too early")
    incident = live.incident(dport=7319)
    assert told(client) == errno.ECONNREFUSED
    p.nft(chain("prerouting", dnat(7319, p.s, 7319)))
    client.send(b"as before")
    wait_for(lambda: told(client) == errno.ECONNREFUSED, "the second error")
    assert live.incident(dport=7319, count=2)["nat"] is None
    subprocess.run(advised(incident, "hints").split(), check=True)
    client.send(b"taken")
    assert arrival(server) == b"taken"


def test_a_flow_older_than_its_rule_lookalike_no_such_socket(live: Live, path: Path) -> None:
    p = path
    p.nft(chain("prerouting", dnat(7998, p.s, 7999)))
    p.udp(p.server, ("127.0.0.1", 7320))
    p.udp(p.client, (p.c, 6320), (p.near, 7320)).send(b"nobody")
    assert not [h for h in live.incident(dport=7320)["hints"] if "conntrack" in h]


# Local processes


def test_a_local_process_sends_to_a_published_port(live: Live, path: Path) -> None:
    """As docker's OUTPUT chain does: translated on its way out of the sender's namespace."""
    p = path
    p.nft(chain("output", dnat(7321, p.s, 7322)))
    p.udp(p.router, (p.far, 6321), (p.near, 7321)).send(b"nobody")
    incident = live.incident(dport=7322)
    assert before(incident) == (p.far, 6321, p.near, 7321)
    assert incident["origin"]["netns"]["inum"] == p.router.inum
    assert [t["socket"]["peer"] for t in incident["told"]] == [end(p.near, 7321)]


def test_within_one_namespace(live: Live, box: Namespace) -> None:
    nft(box, chain("output", dnat(7323, "127.0.0.1", 7324)))
    client = box.udp(bind=("127.0.0.1", 6323), connect=("127.0.0.1", 7323))
    client.send(b"nobody")
    incident = live.incident(dport=7324)
    assert before(incident) == ("127.0.0.1", 6323, "127.0.0.1", 7323)
    assert incident["origin"]["peer"] == "127.0.0.1:7323"
    assert told(client) == errno.ECONNREFUSED
    # The same namespace, a port that no rule is about.
    box.udp(connect=("127.0.0.1", 7325)).send(b"nobody")
    assert live.incident(dport=7325)["nat"] is None


# Relays


def relayed(incident: Json) -> list[str]:
    return [hint for hint in incident["hints"] if "relay" in hint]


@pytest.fixture
def relays() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended with the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_dockers_userland_proxy(
    live: Live, path: Path, relays: list[subprocess.Popen[bytes]]
) -> None:
    """The real one. Who sent to it hears nothing of the error that it is told."""
    p = path
    command = [
        "ip", "netns", "exec", p.router.name, "sh", "-c", 'exec "$@" 3>&1', "-",
        str(shutil.which("docker-proxy")), "-proto", "udp", "-host-ip", p.near,
        "-host-port", "7326", "-container-ip", p.s, "-container-port", "7327",
    ]  # fmt: skip
    relays.append(relay := subprocess.Popen(command, stdout=subprocess.PIPE))
    assert relay.stdout is not None
    assert relay.stdout.readline() == b"0\n"  # docker-proxy: it listens
    client = p.udp(p.client, (p.c, 6326), (p.near, 7326))
    client.send(b"nobody")
    incident = live.incident(dport=7327)
    assert incident["nat"] is None
    assert incident["origin"]["processes"][0]["comm"] == "docker-proxy"
    assert incident["origin"]["processes"][0]["pid"] == relay.pid
    assert [t["socket"]["peer"] for t in incident["told"]] == [end(p.s, 7327)]
    assert relayed(incident) == [
        f"the sender calls itself docker-proxy: a relay for clients of {end(p.near, 7326)}, who "
        "are told nothing"
    ]
    assert told(client) == 0


def test_dockers_userland_proxy_lookalike_another_name(
    live: Live, path: Path, relays: list[subprocess.Popen[bytes]]
) -> None:
    p = path
    command = [
        "ip", "netns", "exec", p.router.name, "socat",
        f"UDP4-LISTEN:7328,bind={p.near},fork", f"UDP4:{p.s}:7329",
    ]  # fmt: skip
    relays.append(relay := subprocess.Popen(command))
    wait_for(lambda: "7328" in inside(p.router, "ss", "-uan"), "socat")
    p.udp(p.client, (p.c, 6328), (p.near, 7328)).send(b"nobody")
    incident = live.incident(dport=7329)
    assert relay.poll() is None
    assert incident["origin"]["processes"][0]["comm"] == "socat"
    assert relayed(incident) == []
