"""netfilter's REJECT wherever a datagram passes it, by each tool; and what only looks like it."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.kernel.live import Live, wait_for
from tests.kernel.net import Namespace, arrival
from tests.kernel.routed import FAMILIES, NUMBERS, RECEIVERS, SERVER, Path, routed
from tracer.events import Family

HOOKS = ("input", "forward", "output")
TOOLS = ("nft", "iptables-nft", "iptables-legacy")
PORT_UNREACHABLE, ADMIN_PROHIBITED = "port-unreachable", "admin-prohibited"

TCP_ONLY, DROPPED, MISSED, TAKEN = 7618, 7619, 7620, 7621


@dataclass(frozen=True)
class Rule:
    """One REJECT rule, in the namespace whose hook the datagram passes."""

    hook: str
    tool: str
    answer: str
    port: int


RULES = [
    Rule(*case, port=7600 + number)
    for number, case in enumerate(
        itertools.product(HOOKS, TOOLS, (PORT_UNREACHABLE, ADMIN_PROHIBITED))
    )
]


@pytest.fixture(scope="module")
def path(live: Live) -> Iterator[Path]:
    with routed() as path:
        for hook in HOOKS:
            _put_rules(_at(path, hook), hook)
        yield path


def _at(path: Path, hook: str) -> Namespace:
    return {"input": path.server, "forward": path.router, "output": path.client}[hook]


@pytest.fixture(scope="module")
def rejected(path: Path) -> dict[tuple[int, Family], socket.socket]:
    """A datagram to each rule's port, all at once; their senders."""
    senders = {}
    for rule, family in itertools.product(RULES, FAMILIES):
        sender = path.client.udp(connect=(SERVER[family], rule.port), family=NUMBERS[family])
        with suppress(PermissionError):  # what OUTPUT rejects, send() is told at once
            sender.send(b"rejected")
        senders[rule.port, family] = sender
    return senders


def _put_rules(namespace: Namespace, hook: str) -> None:
    rules = [rule for rule in RULES if rule.hook == hook]
    _put_nft(namespace, hook, [rule for rule in rules if rule.tool == "nft"])
    for tool in ("iptables-nft", "iptables-legacy"):
        for family in FAMILIES:
            _put_iptables(namespace, family, [rule for rule in rules if rule.tool == tool])


def _put_nft(namespace: Namespace, hook: str, rules: list[Rule]) -> None:
    lines = [f"udp dport {rule.port} reject with icmpx {rule.answer}" for rule in rules]
    if hook == "input":
        lines += [f"tcp dport {TCP_ONLY} reject", f"udp dport {DROPPED} drop"]
    chain = "\n".join([f"type filter hook {hook} priority 0;", *lines])
    namespace.run("nft", "-f", "-", text=f"table inet t {{\nchain c {{\n{chain}\n}}\n}}\n")


def _put_iptables(namespace: Namespace, family: Family, rules: list[Rule]) -> None:
    program = rules[0].tool.replace("iptables", "iptables" if family == "ipv4" else "ip6tables")
    lines = [
        f"-A {rule.hook.upper()} -p udp --dport {rule.port} -j REJECT"
        f" --reject-with {_answer(rule, family)}"
        for rule in rules
    ]
    namespace.run(f"{program}-restore", text="\n".join(["*filter", *lines, "COMMIT\n"]))


def _answer(rule: Rule, family: Family) -> str:
    if family == "ipv4":
        return f"icmp-{rule.answer}"
    return "icmp6-" + rule.answer.replace("admin", "adm")


def _told(rule: Rule, family: Family) -> str:
    """icmp_err_convert (net/ipv4/icmp.c), tab_unreach (net/ipv6/icmp.c)."""
    if rule.answer == PORT_UNREACHABLE:
        return "ECONNREFUSED"
    return "EHOSTUNREACH" if family == "ipv4" else "EACCES"


def _caller(rule: Rule, family: Family) -> str:
    """nf_send_unreach ends in a jump to __icmp_send, so its own caller shows."""
    if rule.tool == "nft":
        return "nft_reject_inet_eval"
    return "reject_tg" if family == "ipv4" else "reject_tg6"


def _command(rule: Rule, family: Family) -> str:
    """What shows the rule."""
    if rule.tool == "nft":
        return "nft list ruleset"
    return "iptables-save" if family == "ipv4" else "ip6tables-save"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.hook}-{rule.tool}-{rule.answer}")
def test_rejected(
    live: Live,
    path: Path,
    rejected: dict[tuple[int, Family], socket.socket],
    rule: Rule,
    family: Family,
) -> None:
    """In FORWARD, INPUT and OUTPUT, by nft and by both iptables, with either code."""
    # Of 36 at once, on a machine that stands still now and then, one may be told before its ICMP
    # has left.
    wait_for(
        lambda: any(
            incident["icmp"]["status"] == "sent"
            for incident in live.incidents(dport=rule.port, family=family)
        ),
        "an ICMP that has left",
    )
    incident = live.incident(dport=rule.port, family=family)
    assert incident["cause"] == "rejected"
    assert incident["certain"] is True, incident["caveats"]
    assert incident["socket"] is None
    assert incident["mismatch"] == []
    assert incident["netns"]["inum"] == _at(path, rule.hook).inum
    assert incident["netns"]["name"] == _at(path, rule.hook).name
    assert incident["icmp"]["name"] == rule.answer
    assert incident["icmp"]["status"] == "sent"
    assert incident["lookup"]["caller"] == _caller(rule, family)
    assert incident["lookup"]["passes"] == 0
    assert incident["datagram"]["dst"] == SERVER[family]
    assert incident["origin"]["netns"]["inum"] == path.client.inum
    assert [told["error"] for told in incident["told"]] == [_told(rule, family)]
    assert _command(rule, family) in incident["advice"][0]


@pytest.mark.parametrize("family", FAMILIES)
def test_rejected_lookalike_a_rule_for_tcp_only(live: Live, path: Path, family: Family) -> None:
    """The datagram passes it and misses, on the port that TCP may not use."""
    path.client.udp(connect=(SERVER[family], TCP_ONLY), family=NUMBERS[family]).send(b"nobody")
    incident = live.incident(dport=TCP_ONLY, family=family)
    assert incident["cause"] == "no-socket"
    assert incident["netns"]["inum"] == path.server.inum
    assert incident["lookup"]["passes"] == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_rejected_lookalike_a_drop_is_silence(live: Live, path: Path, family: Family) -> None:
    """No ICMP is sent, so there is nothing to report; nor of what arrives beside the rules."""
    server = path.server.udp(bind=("::", TAKEN), family=socket.AF_INET6)
    for port in (DROPPED, TAKEN, MISSED):
        path.client.udp(connect=(SERVER[family], port), family=NUMBERS[family]).send(b"x")
    assert arrival(server) == b"x"
    missed = live.incident(dport=MISSED, family=family)
    assert missed["cause"] == "no-socket"
    assert missed["lookup"]["caller"] in RECEIVERS[family]
    assert live.incidents(dport=DROPPED) == live.incidents(dport=TAKEN) == []
    server.close()
