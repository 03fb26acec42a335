"""The manual page of `udptrace report`."""

from tracer.manual.page import READING, Page

PAGE = Page(
    examples=(
        ("udptrace report trace.rec", "For a terminal."),
        ("udptrace report -f html -o trace.html trace.rec", "One page for a browser."),
        ("udptrace report -f markdown trace.rec", "For a ticket."),
        ("udptrace report web.rec dns.rec", "Of two hosts: refused on one, told on the other."),
    ),
    fields=(
        ("By cause", "Misses, incidents and groups of each cause."),
        ("Misses over time", "A mark a span of time, as high as it had misses."),
        ("culprit", "Who refuses: a process and its port, nobody, a kernel function, a machine."),
        ("ends", "The pair of ends; `*` is a port that the kernel chooses anew."),
        ("count", "Misses and incidents of the group."),
        ("when", "The first and the last, and the rate between them."),
        ("incident", "The first of them in full, as `udptrace live` has it."),
        ("timeline", "The calls, misses, errors and closes of both sides, in their order."),
    ),
    overhead=READING,
    caveats=(
        "At most 1000 groups are kept; the rest is counted by cause, which is said.",
        "Repeats are placed in time where their count was read: seconds apart at most.",
        "Clocks of several hosts are compared by the incidents that both have seen; how well is"
        " said.",
        "`-f html` needs Jinja (python3-jinja2).",
    ),
    docs=("report.md", "causes.md"),
)
