"""The manual page of `udptrace sockets`."""

from tracer.manual.page import HOST_NETWORK, NAMES, Page

PAGE = Page(
    examples=(
        ("udptrace sockets", "Every UDP socket of the machine, of either state."),
        ("udptrace sockets -c web --exposed", "Those of a container that anyone can reach."),
        ("udptrace sockets --sort drops --columns local,drops,rx,processes", "Who drops most."),
        ("udptrace sockets --port-origin kernel-chosen -f json", "Ports that nobody asked for."),
        ("udptrace sockets --exposed --fail-on kernel-chosen-any", "For a script: 3 if there is"
         " one."),
    ),
    fields=(
        ("STATE", "UNCONN or ESTAB, as ss names them: only connect() makes ESTAB, and UDP has no"
         " listening state."),
        ("LOCAL", "Its address and port."),
        ("PORT-ORIGIN", "`bound`: bind() named the port. `kernel-chosen`: the kernel did."),
        ("ACCEPTS-FROM", "Whom it takes datagrams from, and the multicast groups it has joined."),
        ("ADDRESSES, BEFORE", "With `--exposed`: on which addresses it is reached, and what stands"
         " before it."),
        ("RX, DROPS", "Bytes that wait to be read, and datagrams dropped at it."),
        ("NETNS, PROCESSES", "Where it is, and who holds it."),
        ("?", "Not known. `-`: there is none."),
    ),
    overhead="One look at the kernel's tables and at /proc, in each network namespace; no trace"
    " runs. 100,000 sockets take no longer than `ss -nuap`.",
    caveats=(
        "A firewall is not examined: it is what the sockets themselves would take.",
        "A socket without a port is in no table of the kernel's, and not listed.",
        "Without root other users' processes, and other namespaces, may be missing; it is said.",
        HOST_NETWORK,
        NAMES,
    ),
    bad_answer="`--fail-on`: there is such a socket.",
    docs=("sockets.md",),
)  # fmt: skip
