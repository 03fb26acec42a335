"""The manual page of `udptrace check`."""

from tracer.manual.page import Page

PAGE = Page(
    examples=(
        ("udptrace check 10.0.0.9:4000 10.0.0.1:53", "In this process's network namespace."),
        ("udptrace check -c web 10.0.0.9:4000 172.17.0.2:53", "In a container's."),
        ("udptrace check --dev eth1 10.0.0.9:4000 10.0.0.1:53", "It comes in by this interface."),
        ("udptrace check '[2001:db8::9]:4000' '[2001:db8::1]:53'", "IPv6 addresses stand in"
         " brackets."),
    ),
    fields=(
        ("delivered", "A socket takes it: `taken by`."),
        ("missed", "None does: the cause, the socket that comes nearest (`refused by`) and the"
         " field that refuses; `nor by` are the next ones."),
        ("not looked up", "It never comes to a lookup: `why`."),
        ("sender", "The socket of this machine that would send it."),
        ("hint, doubt, note", "What else may help; what could not be read; what was not examined."),
        ("do", "What to do about it."),
    ),
    overhead="One look at the sockets of the network namespace, as `ss` does. Nothing is sent and"
    " nothing is traced; no BPF is needed.",
    caveats=(
        "Firewall and NAT rules, XDP, TC, BPF sk_lookup, a socket's filter and its full buffer are"
        " not examined.",
        "It is about now: `closed` and the races need a trace.",
        "Who gets a multicast datagram is not modelled.",
        "Without root another network namespace is read in part only, and the verdict is in doubt.",
    ),
    bad_answer="No socket would take it.",
    docs=("check.md", "causes.md", "matching.md"),
)  # fmt: skip
