"""Every cause made to happen for real, and beside each the lookalike that must not match it."""

from __future__ import annotations

import errno

from tests.kernel.live import Live, checks, wait_for
from tests.kernel.net import Namespace, arrival, received, told

LO = "127.0.0.1"


def test_remote_address(live: Live, box: Namespace) -> None:
    server = box.udp(bind=(LO, 7001), connect=("127.0.0.9", 6001))
    client = box.udp(bind=("127.0.0.8", 6001), connect=(LO, 7001))
    client.send(b"refused")
    incident = live.incident(dport=7001, src="127.0.0.8")
    assert told(client) == errno.ECONNREFUSED
    assert incident["cause"] == "remote-address"
    assert checks(incident) == [
        {"field": "remote-address", "socket": "127.0.0.9", "datagram": "127.0.0.8"}
    ]
    assert incident["socket"]["local"] == f"{LO}:7001"
    assert incident["socket"]["peer"] == "127.0.0.9:6001"
    assert incident["socket"]["port_origin"] == "bound"
    assert incident["netns"]["inum"] == box.inum
    assert incident["netns"]["name"] == box.name
    assert incident["told"][0]["socket"]["local"] == "127.0.0.8:6001"
    assert incident["origin"]["local"] == "127.0.0.8:6001"
    assert incident["certain"] is True
    assert received(server) == []


def test_remote_address_lookalike_the_right_peer_is_delivered(live: Live, box: Namespace) -> None:
    server = box.udp(bind=(LO, 7002), connect=("127.0.0.9", 6002))
    client = box.udp(bind=("127.0.0.9", 6002), connect=(LO, 7002))
    client.send(b"taken")
    assert arrival(server) == b"taken"
    _nothing_but_the_probe(live, box, 7002)


def test_remote_port(live: Live, box: Namespace) -> None:
    box.udp(bind=(LO, 7003), connect=(LO, 6003))
    client = box.udp(bind=(LO, 6999), connect=(LO, 7003))
    client.send(b"refused")
    incident = live.incident(dport=7003, sport=6999)
    assert incident["cause"] == "remote-port"
    assert checks(incident) == [{"field": "remote-port", "socket": "6003", "datagram": "6999"}]


def test_both_ends_wrong_names_the_first_check_and_lists_all(live: Live, box: Namespace) -> None:
    box.udp(bind=(LO, 7004), connect=("127.0.0.9", 6004))
    client = box.udp(bind=("127.0.0.8", 6998), connect=("127.0.0.2", 7004))
    client.send(b"refused")
    incident = live.incident(dport=7004)
    assert incident["cause"] == "local-address"
    assert [m["field"] for m in incident["mismatch"]] == [
        "local-address",
        "remote-address",
        "remote-port",
    ]


def test_local_address_bound(live: Live, box: Namespace) -> None:
    box.udp(bind=("127.0.0.2", 7005))
    client = box.udp(connect=(LO, 7005))
    client.send(b"refused")
    incident = live.incident(dport=7005)
    assert incident["cause"] == "local-address"
    assert checks(incident) == [{"field": "local-address", "socket": "127.0.0.2", "datagram": LO}]
    assert incident["socket"]["connect"] is None
    assert incident["socket"]["state"] == "UNCONN"
    assert incident["origin"]["port_origin"] == "kernel-chosen"


def test_local_address_tied_by_connect(live: Live, box: Namespace) -> None:
    server = box.udp(bind=("0.0.0.0", 7006))
    server.connect((LO, 6006))
    client = box.udp(bind=(LO, 6006), connect=("127.0.0.3", 7006))
    client.send(b"refused")
    incident = live.incident(dport=7006)
    assert incident["cause"] == "local-address"
    connect = incident["socket"]["connect"]
    assert connect["before"]["local"] == "0.0.0.0:7006"
    assert connect["after"]["local"] == f"{LO}:7006"
    assert connect["source"] == "route"
    assert connect["requested"] == f"{LO}:6006"


def test_local_address_lookalike_a_wildcard_socket_takes_it(live: Live, box: Namespace) -> None:
    server = box.udp(bind=("0.0.0.0", 7007))
    client = box.udp(connect=("127.0.0.3", 7007))
    client.send(b"taken")
    assert arrival(server) == b"taken"
    _nothing_but_the_probe(live, box, 7007)


def test_closed(live: Live, box: Namespace) -> None:
    server = box.udp(bind=("0.0.0.0", 7008))
    client = box.udp(connect=(LO, 7008))
    client.send(b"taken")
    assert arrival(server) == b"taken"
    server.close()
    client.send(b"too late")
    incident = live.incident(dport=7008)
    assert incident["cause"] == "closed"
    assert incident["mismatch"] == []
    assert incident["socket"]["local"] == "0.0.0.0:7008"
    assert incident["socket"]["closed"]["by"]["comm"]


def test_closed_lookalike_another_namespaces_socket_was_closed(live: Live, box: Namespace) -> None:
    with Namespace("other") as other:
        other.udp(bind=("0.0.0.0", 7009)).close()
        client = box.udp(connect=(LO, 7009))
        client.send(b"nobody")
        assert live.incident(dport=7009)["cause"] == "no-socket"


def test_closed_lookalike_what_was_closed_would_have_refused(live: Live, box: Namespace) -> None:
    box.udp(bind=("127.0.0.2", 7010)).close()
    client = box.udp(connect=(LO, 7010))
    client.send(b"nobody")
    assert live.incident(dport=7010)["cause"] == "no-socket"


def test_no_socket(live: Live, box: Namespace) -> None:
    client = box.udp(connect=(LO, 7011))
    client.send(b"nobody")
    incident = live.incident(dport=7011)
    assert incident["cause"] == "no-socket"
    assert incident["socket"] is None
    assert incident["mismatch"] == []
    assert incident["candidates"] == 0
    assert incident["lookup"]["passes"] == 2
    assert incident["lookup"]["matching"] == 0
    assert incident["told"][0]["error"] == "ECONNREFUSED"


def test_no_socket_lookalike_the_port_in_another_namespace(live: Live, box: Namespace) -> None:
    with Namespace("other") as other:
        server = other.udp(bind=("0.0.0.0", 7012))
        client = box.udp(connect=(LO, 7012))
        client.send(b"nobody")
        incident = live.incident(dport=7012)
        assert incident["cause"] == "no-socket"
        assert incident["socket"] is None
        assert received(server) == []


def test_an_unconnected_sender_is_told_nothing(live: Live, box: Namespace) -> None:
    client = box.udp(bind=(LO, 6013))
    client.sendto(b"nobody", (LO, 7013))
    incident = live.incident(dport=7013)
    assert incident["told"] == []
    assert incident["origin"]["local"] == f"{LO}:6013"
    assert incident["not_told"][0]["why"] == "unconnected"
    assert told(client) == 0


def test_repeats_are_counted_exactly(live: Live, box: Namespace) -> None:
    client = box.udp(bind=(LO, 6014))
    for _ in range(101):
        client.sendto(b"nobody", (LO, 7014))
    assert live.incident(count=101, dport=7014)["count"] == 101


def test_a_changed_cause_is_a_new_incident(live: Live, box: Namespace) -> None:
    client = box.udp(bind=(LO, 6015))
    client.sendto(b"nobody", (LO, 7015))
    box.udp(bind=(LO, 7015), connect=(LO, 6999))
    client.sendto(b"refused", (LO, 7015))
    wait_for(lambda: len(live.incidents(dport=7015)) == 2, "two incidents")
    causes = sorted(i["cause"] for i in live.incidents(dport=7015))
    assert causes == ["no-socket", "remote-port"]


def test_the_nearest_of_many_is_named_and_the_rest_counted(live: Live, box: Namespace) -> None:
    for number in range(20):
        box.udp(bind=(f"127.0.1.{number + 1}", 7016), connect=("127.0.0.9", 5000 + number))
    near = box.udp(bind=(LO, 7016), connect=("127.0.0.9", 6016))
    client = box.udp(bind=("127.0.0.8", 6016), connect=(LO, 7016))
    client.send(b"refused")
    incident = live.incident(dport=7016)
    assert incident["cause"] == "remote-address"
    assert incident["socket"]["local"] == f"{LO}:7016"
    assert incident["candidates"] == 20
    assert incident["lookup"]["matching"] == 21
    near.close()


def _nothing_but_the_probe(live: Live, box: Namespace, port: int) -> None:
    """Nothing was reported of this port by the time a later miss of the same namespace was."""
    client = box.udp(connect=(LO, 9))
    client.send(b"marker")
    wait_for(
        lambda: [i for i in live.incidents(dport=9) if i["netns"]["inum"] == box.inum], "the marker"
    )
    assert live.incidents(dport=port) == []
