"""Which containers the words of -c mean, and how a namespace is named after those in it."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import (
    BOX,
    HOST,
    OTHER,
    at,
    connect,
    end,
    error,
    gram,
    header,
    miss,
    namespace,
    owners,
    sock,
    task,
    tick,
)
from tests.unit.linking import incidents, only, updates
from tests.unit.test_render_text import text
from tracer.containers import Container, meant_by
from tracer.events import Event, InContainer, NetnsContainers, TargetChange
from tracer.link import Linker
from tracer.select import Selection

WEB = Container("docker", "3f2a" * 16, "web", "alpine:3.20")
WEBSITE = Container("docker", "3f2b" * 16, "website", "nginx")
OTHERS_WEB = Container("podman", "77aa" * 16, "web", None, uid=1000)
TASK_WEB = Container("containerd", "web", "web", None, scope="default")
PAUSE = Container("containerd", "ab01" * 16, None, None, "shop/cart-0", True, scope="k8s.io")
CART = Container("containerd", "cd02" * 16, "cart", "cart:1", "shop/cart-0", scope="k8s.io")
PROXY = Container("containerd", "ef03" * 16, "proxy", "envoy", "shop/cart-0", scope="k8s.io")


def meant(spec: str, *known: Container) -> list[list[Container]]:
    return list(meant_by(spec, known).values())


def test_a_name_an_id_and_its_beginning() -> None:
    for spec in ("web", WEB.id, WEB.id[:12], "3f2a"):
        assert meant(spec, WEB, WEBSITE) == [[WEB]], spec
    assert meant("nothing", WEB, WEBSITE) == []


def test_a_name_is_whole() -> None:
    assert meant("webs", WEB, WEBSITE) == []


def test_a_name_comes_before_the_beginning_of_anothers_id() -> None:
    odd = replace(WEBSITE, name="3f2a")
    assert meant("3f2a", WEB, odd) == [[odd]]


def test_an_id_comes_before_a_name() -> None:
    liar = replace(WEBSITE, name=WEB.id)
    assert meant(WEB.id, liar, WEB) == [[WEB]]


def test_several_are_ambiguous() -> None:
    assert meant("web", WEB, OTHERS_WEB) == [[WEB], [OTHERS_WEB]]
    assert meant("3f2", WEB, WEBSITE) == [[WEB], [WEBSITE]]


def test_one_made_anew_under_its_name_is_the_same() -> None:
    again = replace(WEB, id="00ff" * 16)
    assert meant("web", WEB, again) == [[WEB, again]]


def test_a_pod_and_a_container_of_it() -> None:
    assert meant("shop/cart-0", PAUSE, CART, PROXY, WEB) == [[PAUSE, CART, PROXY]]
    assert meant("shop/cart-0/proxy", PAUSE, CART, PROXY) == [[PROXY]]
    assert meant("cart", PAUSE, CART) == [[CART]]
    elsewhere = replace(CART, id="9999" * 16, pod="shop/cart-1")
    assert len(meant("cart", CART, elsewhere)) == 2


def test_containerds_namespace_tells_ids_apart() -> None:
    second = replace(TASK_WEB, scope="test")
    assert len(meant("web", TASK_WEB, second)) == 2
    assert meant("test/web", TASK_WEB, second) == [[second]]


# What an incident says

DATAGRAM = gram("172.17.0.2:4000", "10.0.0.1:53")
SENDER = sock("172.17.0.2:4000", "10.0.0.1:53", inode=11, netns=BOX)
SERVER = sock("10.0.0.1:53", "10.0.0.7:9", inode=12)
# Sent from BOX, refused by a socket of HOST, told in BOX.
EVENTS: list[Event] = [
    namespace(0.1, HOST, "host"),
    connect(1, sock("0.0.0.0:4000", inode=11, netns=BOX), SENDER, by=task(77, "dig")),
    miss(1000, DATAGRAM, SERVER),
    error(1000.1, SENDER),
]


def inside(ms: float, *containers: Container, netns: int = BOX, cookie: int = 7) -> NetnsContainers:
    return NetnsContainers(at(ms), netns, cookie, containers)


def words(*found: Event) -> str:
    """The text of the incident, its lines and spaces joined."""
    return " ".join(text(header(), *EVENTS, *found, end(3000)).split())


def test_a_namespace_is_named_after_its_container() -> None:
    incident = only(*EVENTS, inside(1001, WEB)).to_json()
    origin = incident["origin"]
    assert isinstance(origin, dict)
    netns = origin["netns"]
    expected = {
        "engine": "docker",
        "id": WEB.id,
        "name": "web",
        "image": "alpine:3.20",
        "pod": None,
        "uid": None,
    }
    assert (netns["container"], netns["containers"]) == (expected, [expected])
    assert "container web (docker, alpine:3.20)" in words(inside(1001, WEB))


def test_the_number_of_another_namespace_is_not_named_after_it() -> None:
    origin = only(*EVENTS, inside(1001, WEB, cookie=6)).origin
    assert origin is not None
    assert origin.netns.containers == ()


def test_containers_that_share_a_namespace() -> None:
    origin = only(*EVENTS, inside(1001, WEB, WEBSITE)).origin
    assert origin is not None
    shown = origin.netns.to_json()
    assert shown["container"] is None
    assert isinstance(shown["containers"], list)
    assert len(shown["containers"]) == 2
    assert "containers web, website" in words(inside(1001, WEB, WEBSITE))


def test_a_pod_is_named() -> None:
    origin = only(*EVENTS, inside(1001, PAUSE, CART, PROXY)).origin
    assert origin is not None
    assert (origin.netns.pod, origin.netns.to_json()["container"]) == ("shop/cart-0", None)
    assert "pod shop/cart-0 (cart, proxy)" in words(inside(1001, PAUSE, CART, PROXY))
    alone = only(*EVENTS, inside(1001, PAUSE, CART)).origin
    assert alone is not None
    assert alone.netns.workload == (CART,)


def test_containers_found_after_the_incident_was_told_are_told_then() -> None:
    """Once: what is found elsewhere, or again, is no news."""
    late = inside(1800, WEB)
    elsewhere = inside(1700, WEB, netns=BOX + 1)
    again = inside(3600, WEB)
    told = updates(
        [header(), *EVENTS, tick(1500), elsewhere, tick(2500), late, tick(3500), again, tick(4500)]
    )
    named = [[len(netns.containers) for netns in update.incident.places()] for update in told]
    assert named == [[0, 0, 0], [0, 0, 1]]
    printed = words(tick(1500), late, tick(2500))
    assert printed.count("container web (docker, alpine:3.20)") == 1


def test_the_hosts_namespace_is_nobodys() -> None:
    incident = only(*EVENTS, inside(1001, WEB, netns=HOST, cookie=1))
    assert incident.netns.containers == ()
    assert incident.netns.to_json()["container"] is None


def test_a_process_of_a_container_on_the_hosts_network() -> None:
    holder = owners(1001, 12, (4711, "named", 5))
    lives = InContainer(at(1002), 4711, 0, WEB)
    incident = only(*EVENTS, holder, lives)
    assert incident.socket is not None
    assert incident.socket.processes[0].to_json()["container"] == "web"
    assert "named[4711] fd 5 in web" in words(holder, lives)


def test_a_process_that_has_the_number_of_another_is_in_no_container() -> None:
    late = InContainer(at(1002), 77, 5_000_000_000, WEB)
    origin = only(*EVENTS, late).origin
    assert origin is not None
    assert origin.processes[0].container is None


# Targets that come and go


def change(ms: float, state: str, netns: int = BOX, cookie: int = 7) -> TargetChange:
    return TargetChange(at(ms), "web", state, netns, cookie, WEB)  # type: ignore[arg-type]


def shown(*events: Event) -> int:
    return len(incidents(*events, linker=Linker(following=True)))


def test_nothing_is_shown_before_the_container_runs() -> None:
    assert shown(*EVENTS) == 0
    assert shown(change(1, "started", OTHER, 9), *EVENTS) == 0


def test_what_concerns_the_container_is_shown() -> None:
    assert shown(change(1, "started"), *EVENTS) == 1


def test_its_first_datagram_is_shown_though_it_was_found_later() -> None:
    late = [*EVENTS, tick(1500), change(1900, "started"), tick(3000)]
    told = updates([header(), *late], Linker(following=True))
    assert [update.incident.count for update in told] == [1]
    lookalike = [*EVENTS, tick(1500), change(1900, "started", OTHER, 9), tick(3000)]
    assert updates([header(), *lookalike], Linker(following=True)) == []


def test_what_missed_before_its_end_is_shown() -> None:
    assert shown(change(1, "started"), *EVENTS, change(1000.2, "ended")) == 1
    assert shown(change(1, "started"), change(2, "ended"), *EVENTS) == 0


def test_it_is_followed_into_its_next_namespace() -> None:
    events = [change(1, "started", OTHER, 9), change(2, "ended", OTHER, 9)]
    assert shown(*events, change(3, "started"), *EVENTS) == 1


def test_the_text_says_when_it_starts_and_ends() -> None:
    begun = replace(header(), following=("web",))
    lines = text(begun, change(1, "started"), change(1000, "ended")).splitlines()
    assert [line.replace("\xa0", " ") for line in lines[1:5]] == [
        "only what concerns container web",
        "12:03:00.001 started         container web (docker, alpine:3.20) in netns",
        f"    {BOX}",
        "12:03:01.000 ended           container web (docker, alpine:3.20)",
    ]


# A container asked for afterwards, in a replay


def afterwards(*events: Event) -> int:
    asked = Selection(containers=(WEB.id,))
    return len(incidents(*events, linker=Linker(selection=asked)))


def test_afterwards_the_trace_tells_where_a_container_was() -> None:
    assert afterwards(inside(1, WEB), *EVENTS) == 1
    assert afterwards(*EVENTS, tick(1500), inside(1900, WEB)) == 1
    assert afterwards(inside(1, WEBSITE), *EVENTS) == 0
    assert afterwards(*EVENTS) == 0


def test_afterwards_the_next_namespace_of_its_number_is_not_its() -> None:
    """What begins next has the number more often than not."""
    assert afterwards(inside(1, WEB, cookie=6), inside(2, WEBSITE), *EVENTS) == 0
    assert afterwards(inside(1, WEB, cookie=6), inside(2, WEBSITE, WEB), *EVENTS) == 1


def test_afterwards_one_of_the_hosts_is_told_of_by_its_start() -> None:
    assert afterwards(change(1, "started", HOST, 1), *EVENTS) == 1
    assert afterwards(change(1, "ended", HOST, 1), *EVENTS) == 0
