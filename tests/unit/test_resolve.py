"""What is said of the words of -c: what runs, what does not, and what is not there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from tracer.containers import Container
from tracer.errors import UsageError
from tracer.system.containers import commands, resolve
from tracer.system.containers.commands import Command
from tracer.system.containers.containerd import Containerd
from tracer.system.containers.engines import Places
from tracer.system.containers.files import Files
from tracer.system.containers.found import Found
from tracer.system.containers.resolve import check, namespaces_now
from tracer.system.processes import start_of

WEB = Container("docker", "3f2a" * 16, "web", "alpine:3.20")
THEIRS = Container("podman", "77aa" * 16, "web", None, uid=1000)
PID = os.getpid()
OWN = os.stat("/proc/self/ns/net").st_ino
FOREVER = 4e9
"""A date after which no process of this test begins."""


class FakeEngines:
    places = (Places("docker", ("/a", "/b"), ()), Places("podman", (), ()))

    def __init__(self, *found: Found) -> None:
        self._found = found
        self.containerd = Containerd(Files(), "/nowhere")

    def all(self) -> list[Found]:
        return list(self._found)


Have = Callable[..., None]


@pytest.fixture
def have(monkeypatch: pytest.MonkeyPatch) -> Have:
    """Sets what the engines' files tell of, and which namespace is the host's."""
    monkeypatch.setattr(resolve, "COMMANDS", ())
    monkeypatch.setattr(resolve, "ctr", lambda scope: Command("containerd", ("nowhere",), _nobody))

    monkeypatch.setattr(resolve, "is_initial", lambda kind: True)

    def put(*found: Found, host: int = 1) -> None:
        monkeypatch.setattr(resolve, "Engines", lambda: FakeEngines(*found))
        monkeypatch.setattr(resolve, "initial_inum", lambda known: host)

    put()
    return put


def _nobody(value: object, now: float) -> Found | None:
    return None


def runs(container: Container, written: float = FOREVER) -> Found:
    return Found(container, PID, "running", written)


def refused(*specs: str, wait: bool = False) -> str:
    with pytest.raises(UsageError) as error:
        check(specs, wait=wait)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    return str(error.value)


def test_one_that_runs(have: Have) -> None:
    have(runs(WEB))
    checked = check(["web"], wait=False)
    assert (checked.followed, checked.fixed, checked.lines) == (("web",), {}, ())


def test_one_that_is_stopped(have: Have) -> None:
    have(Found(WEB, 0, "exited", FOREVER))
    assert refused("web") == (
        "-c web: the container web (docker 3f2a3f2a3f2a) is stopped (exited): start it with"
        " `docker start 3f2a3f2a3f2a`, or let --wait wait for it"
    )


def test_a_process_number_that_is_anothers_by_now(have: Have) -> None:
    """The machine lost its power: the file is older than who has the number now."""
    have(runs(WEB, written=1.0))
    assert "is stopped (its process is gone)" in refused("web")
    assert start_of(PID)


def test_one_that_is_waited_for(have: Have) -> None:
    for there in ((), (Found(WEB, 0, "exited", 0.0),)):
        have(*there)
        assert check(["web"], wait=True).lines == ("waiting for container web to start",)


def test_one_that_may_be_several(have: Have) -> None:
    have(runs(WEB), Found(THEIRS, 0, "not running", 0.0))
    expected = (
        "-c web: it may be any of web (docker 3f2a3f2a3f2a, running), web (podman of user 1000"
        " 77aa77aa77aa, not running): give more of the id"
    )
    assert refused("web") == expected
    assert refused("web", wait=True) == expected
    assert check(["77aa", "3f2a"], wait=True).followed == ("77aa", "3f2a")


def test_many_are_not_all_listed(have: Have) -> None:
    have(*(Found(Container("docker", f"ab{n:062x}", None, None), 0, "", 0.0) for n in range(20)))
    assert "and 12 more" in refused("ab")


def test_an_unknown_one(have: Have) -> None:
    message = refused("nothing")
    assert message.startswith(
        "-c nothing: no container of this name or id; looked at docker: /a, /b; "
    )
    assert "podman: has no state here" in message
    assert message.endswith("; nowhere: not installed")


def test_state_that_may_not_be_read(have: Have, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEngines, "places", (Places("docker", ("/a", "/b"), ("/a",)),))
    assert "docker: /a may not be read: run as root" in refused("x")


def test_in_another_pid_namespace(have: Have, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "is_initial", lambda kind: False)
    assert refused("web").endswith("not seen in this PID namespace: docker run --pid=host")


def test_one_that_shares_the_hosts_network(have: Have) -> None:
    have(runs(WEB), host=OWN)
    (line,) = check(["web"], wait=False).lines
    assert line.startswith("container web shares the host's network")


def test_one_that_only_a_command_knows(have: Have, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = f'[{{"Id": "{WEB.id}", "Name": "/web", "State": {{"Running": true, "Pid": {PID}}}}}]'
    command = Command("docker", ("printf", answer.replace("%", "%%")), commands.COMMANDS[0].read)
    monkeypatch.setattr(resolve, "COMMANDS", (command,))
    checked = check(["web"], wait=False)
    assert (checked.followed, checked.fixed) == ((), {"web": OWN})
    assert "not followed when it restarts" in checked.lines[0]


def test_a_hostile_name_is_one_clean_line(have: Have) -> None:
    assert refused("a\udcffb").startswith("-c a\\xffb: ")


@pytest.mark.parametrize("labels", ["null", '"x"', "[]", '{"io.kubernetes.pod.name": 7}'])
def test_an_odd_answer_of_crictls(labels: str) -> None:
    command = commands.COMMANDS[2]
    answer = f'{{"status": {{"id": "ab", "labels": {labels}}}, "info": {{"pid": "x"}}}}'
    found = command.read(json.loads(answer), 0.0)
    assert found is not None
    assert (found.container.id, found.container.pod, found.pid) == ("ab", None, 0)


def test_crictl_tells_of_a_pods_container() -> None:
    labels = {
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.name": "cart-0",
        "io.kubernetes.container.name": "cart",
    }
    status = {
        "id": "ab" * 32,
        "labels": labels,
        "metadata": {"name": "cart"},
        "image": {"image": "cart:1"},
        "state": "CONTAINER_RUNNING",
    }
    found = commands.COMMANDS[2].read({"status": status, "info": {"pid": 77}}, 0.0)
    assert found is not None
    expected = Container("containerd", "ab" * 32, "cart", "cart:1", "shop/cart-0")
    assert (found.container, found.pid, found.status) == (expected, 77, "running")


def test_where_containers_are_now(have: Have) -> None:
    have(runs(WEB), Found(THEIRS, 0, "exited", FOREVER))
    assert namespaces_now(["3f2a"]) == namespaces_now([WEB.id, "3f2a"]) == (OWN,)
    assert namespaces_now([]) == ()
    with pytest.raises(UsageError, match="is stopped"):
        namespaces_now([THEIRS.id])


def test_a_container_whose_namespaces_may_not_be_read(
    have: Have, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(Found(WEB, PID, "running", FOREVER))
    monkeypatch.setattr(Found, "netns", None)
    with pytest.raises(UsageError, match="may not be read: run as root"):
        namespaces_now(("web",))
