"""The seed's incident with real nc at both ends, and its three questions answered."""

from __future__ import annotations

import os
from collections.abc import Iterator

import incident
import pytest
from incident import BRIDGE_ADDRESS, CONTAINER_ADDRESS, HOST_ADDRESS, PORT

from tests.kernel.live import Json, Live, checks


@pytest.fixture(scope="module")
def lab(live: Live) -> Iterator[incident.Lab]:
    with incident.Lab(host="nc-host", container="nc-container") as lab:
        yield lab


@pytest.fixture(scope="module")
def run_a(live: Live, lab: incident.Lab) -> Json:
    """What run A is reported as; it runs before run B, whose client has another port."""
    incident.run_a(lab)
    return live.incident(dport=PORT, cause="local-address")


@pytest.fixture(scope="module")
def run_b(live: Live, lab: incident.Lab, run_a: Json) -> tuple[Json, Json]:
    """The server's answer, and what the client sent after that."""
    incident.run_b(lab)
    return live.incident(sport=PORT), live.incident(dport=PORT, cause="closed")


def test_the_servers_connect_tied_it_to_docker0(run_a: Json) -> None:
    """Why is the source address docker0's?"""
    connect = run_a["socket"]["connect"]
    assert connect["before"] == {"local": f"0.0.0.0:{PORT}", "peer": None}
    assert connect["after"]["local"] == f"{BRIDGE_ADDRESS}:{PORT}"
    assert connect["source"] == "route"
    assert connect["by"]["comm"] == "nc.openbsd"


def test_the_second_datagram_is_refused_by_the_local_address(run_a: Json) -> None:
    """Why does the client's second datagram fail?"""
    assert checks(run_a) == [
        {"field": "local-address", "socket": BRIDGE_ADDRESS, "datagram": HOST_ADDRESS}
    ]
    assert run_a["netns"]["name"] == "nc-host"
    assert run_a["socket"]["processes"][0]["comm"] == "nc.openbsd"
    assert run_a["origin"]["netns"]["name"] == "nc-container"
    assert run_a["told"][0]["socket"]["processes"][0]["comm"] == "nc.openbsd"
    assert run_a["told"][0]["error"] == "ECONNREFUSED"


def test_the_reply_is_refused_by_the_clients_peer(run_b: tuple[Json, Json]) -> None:
    """Why is the server's reply "port unreachable"?"""
    reply, _ = run_b
    assert (reply["datagram"]["src"], reply["datagram"]["dst"]) == (
        BRIDGE_ADDRESS,
        CONTAINER_ADDRESS,
    )
    assert reply["cause"] == "remote-address"
    assert checks(reply) == [
        {"field": "remote-address", "socket": HOST_ADDRESS, "datagram": BRIDGE_ADDRESS}
    ]
    assert reply["netns"]["name"] == "nc-container"
    assert reply["socket"]["peer"] == f"{HOST_ADDRESS}:{PORT}"
    assert reply["socket"]["connect"]["requested"] == f"{HOST_ADDRESS}:{PORT}"
    assert reply["socket"]["processes"][0]["comm"] == "nc.openbsd"
    assert reply["told"][0]["socket"]["netns"]["name"] == "nc-host"
    assert reply["told"][0]["socket"]["processes"][0]["comm"] == "nc.openbsd"


def test_what_the_client_sends_then_finds_a_closed_socket(run_b: tuple[Json, Json]) -> None:
    reply, late = run_b
    assert late["netns"]["name"] == "nc-host"
    server = reply["told"][0]["socket"]
    assert late["socket"]["inode"] == server["inode"]
    assert late["socket"]["closed"]["by"]["pid"] == server["processes"][0]["pid"]
    assert late["told"][0]["error"] == "ECONNREFUSED"


def test_two_processes_are_named_in_the_reply(run_b: tuple[Json, Json]) -> None:
    reply, _ = run_b
    pids = {reply[end]["processes"][0]["pid"] for end in ("socket", "origin")}
    assert len(pids) == 2
    assert os.getpid() not in pids
