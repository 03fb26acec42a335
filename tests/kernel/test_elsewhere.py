"""Nothing on the port here, and the socket meant is in another namespace: only a hint names it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kernel.live import Json, Live
from tests.kernel.net import Address, Namespace

ADDRESS = "10.88.0.1"


@dataclass(frozen=True)
class Twins:
    """Two namespaces that hold the same address, and a third that does not."""

    here: Namespace
    there: Namespace
    without: Namespace


@pytest.fixture(scope="module")
def twins(live: Live) -> Iterator[Twins]:
    with Namespace("here") as here, Namespace("there") as there, Namespace("without") as without:
        for namespace in (here, there):
            namespace.ip(
                "link add dummy0 type dummy",
                "link set dummy0 up",
                f"address add {ADDRESS}/24 dev dummy0",
                "address add 10.88.0.2/24 dev dummy0",
            )
        yield Twins(here, there, without)


def _miss(live: Live, twins: Twins, port: int) -> Json:
    twins.here.udp(bind=(ADDRESS, port - 1000), connect=(ADDRESS, port)).send(b"wrong namespace")
    incident = live.incident(dport=port)
    assert incident["cause"] == "no-socket"
    assert incident["socket"] is None
    assert incident["netns"]["inum"] == twins.here.inum
    return incident


@pytest.mark.parametrize(("address", "port"), [(ADDRESS, 7685), ("0.0.0.0", 7686)])
def test_the_socket_is_in_another_namespace(
    live: Live, twins: Twins, address: str, port: int
) -> None:
    twins.there.udp(bind=(address, port))
    (hint,) = [h for h in _miss(live, twins, port)["hints"] if "would have taken it" in h]
    assert f"on {address}:{port} in netns {twins.there.name}" in hint
    assert f"that namespace has {ADDRESS} too" in hint


@pytest.mark.parametrize(
    ("bind", "connect"),
    [
        (("10.88.0.2", 7687), None),
        ((ADDRESS, 7688), (ADDRESS, 6999)),
    ],
    ids=["another-address", "another-peer"],
)
def test_elsewhere_lookalike_it_would_not_have_taken_it(
    live: Live, twins: Twins, bind: tuple[str, int], connect: Address | None
) -> None:
    twins.there.udp(bind=bind, connect=connect)
    hints = _miss(live, twins, bind[1])["hints"]
    assert [hint for hint in hints if "would have taken it" in hint] == []


def test_elsewhere_lookalike_that_namespace_lacks_the_address(live: Live, twins: Twins) -> None:
    twins.without.udp(bind=("0.0.0.0", 7689))
    hints = _miss(live, twins, 7689)["hints"]
    assert [hint for hint in hints if "would have taken it" in hint] == []
