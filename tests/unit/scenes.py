"""Incidents as event sequences: runs A and B of the design's seed, and a published port."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import (
    BOX,
    HOST,
    OTHER,
    at,
    autobind,
    bind,
    close,
    connect,
    end,
    error,
    gram,
    header,
    miss,
    namespace,
    nat,
    owners,
    sock,
    task,
)
from tracer.containers import Container
from tracer.events import Event, InContainer, NetnsContainers, NetnsInfo

SERVER, CLIENT = 5001, 6001
SERVER_TASK, CLIENT_TASK = task(3467, "nc"), task(3471, "nc")

SERVER_OPEN = sock("0.0.0.0:56789", inode=SERVER, bound=True, addr_lock=False)
SERVER_TIED = sock(
    "172.17.0.1:56789", "172.17.0.2:45609", inode=SERVER, bound=True, addr_lock=False
)
CLIENT_OPEN = sock("0.0.0.0:45609", inode=CLIENT, netns=BOX, bound=False, addr_lock=False)
CLIENT_TIED = sock(
    "172.17.0.2:45609",
    "10.128.135.176:56789",
    inode=CLIENT,
    netns=BOX,
    bound=False,
    addr_lock=False,
)

TO_SERVER = gram("172.17.0.2:45609", "10.128.135.176:56789", ifindex=5, ifname="docker0")
TO_CLIENT = gram("172.17.0.1:56789", "172.17.0.2:45609", ifindex=2, ifname="eth0", length=12)


def prelude() -> list[Event]:
    """Both ends up, the client's first datagram received, the server connected by it."""
    return [
        header(),
        namespace(
            0.1,
            HOST,
            "host",
            "127.0.0.1",
            "10.128.135.176",
            "172.17.0.1",
            links=((1, "lo"), (2, "ens3"), (5, "docker0")),
        ),
        namespace(0.2, BOX, "box", "127.0.0.1", "172.17.0.2"),
        bind(1000, SERVER_OPEN, by=SERVER_TASK),
        owners(1003, SERVER, (3467, "nc", 3)),
        autobind(41000, CLIENT_OPEN, by=CLIENT_TASK),
        connect(41002, CLIENT_OPEN, CLIENT_TIED, by=CLIENT_TASK),
        owners(41005, CLIENT, (3471, "nc", 3)),
        connect(42500.5, SERVER_OPEN, SERVER_TIED, by=SERVER_TASK),
    ]


def run_a() -> list[Event]:
    """The client sends again: refused by the server's socket, and told."""
    return [
        *prelude(),
        miss(44128.123456, TO_SERVER, SERVER_TIED),
        error(44128.2, CLIENT_TIED),
        close(44128.9, CLIENT_TIED, by=CLIENT_TASK),
        end(50000),
    ]


def run_b() -> list[Event]:
    """The server answers, is refused and ends; what the client sends then finds nobody."""
    return [
        *prelude(),
        miss(44128.123456, TO_CLIENT, CLIENT_TIED, netns=BOX),
        error(44128.2, SERVER_TIED),
        close(44129.4, SERVER_TIED, by=SERVER_TASK),
        miss(47311.7, TO_SERVER),
        error(47311.8, CLIENT_TIED),
        close(47312.5, CLIENT_TIED, by=CLIENT_TASK),
        end(50000),
    ]


def published() -> list[Event]:
    """A container asks the host's port 8053, which leads to another one's 53: nobody there."""
    client = sock("172.18.0.3:40001", "192.0.2.1:8053", inode=7001, netns=OTHER, bound=False)
    datagram = gram("172.18.0.3:40001", "172.17.0.2:53", ifindex=2, ifname="eth0", length=37)
    return [
        header(),
        namespace(0.1, HOST, "host", "127.0.0.1", "192.0.2.1", "172.17.0.1", "172.18.0.1"),
        namespace(0.2, BOX, "dns", "127.0.0.1", "172.17.0.2"),
        namespace(0.3, OTHER, "app", "127.0.0.1", "172.18.0.3"),
        connect(1000, replace(client, state=7, peer="0.0.0.0", pport=0), client, by=CLIENT_TASK),
        owners(1003, 7001, (3471, "dig", 5)),
        miss(70_000.25, datagram, netns=BOX),
        error(70_000.5, client),
        nat(70_001, datagram, "172.18.0.3:40001", "192.0.2.1:8053"),
        end(80_000),
    ]


def in_a_container() -> list[Event]:
    """Run B, its client in a container of docker's."""
    web = Container("docker", "3f2a9c1b" * 8, "web", "alpine:3.20")
    first, *rest = (e for e in run_b() if not (isinstance(e, NetnsInfo) and e.inum == BOX))
    there = NetnsContainers(at(0.5), BOX, 7, (web,))
    return [first, there, InContainer(at(0.6), CLIENT_TASK.pid, 0, web), *rest]
