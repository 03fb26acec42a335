"""The manual page of `udptrace top`."""

from tracer.manual.page import LOSS, NAMES, TRACING, Page

PAGE = Page(
    examples=(
        ("udptrace top", "Flows of the whole machine, every 2 seconds; `q` ends it."),
        ("udptrace top -N web --by process", "In the netns `web`, by who holds the socket."),
        ("udptrace top --interval 10 --lines 5 > log", "A block of lines every 10 seconds."),
        ("udptrace top -f json --count 6", "An object a row, six times."),
    ),
    fields=(
        ("MISS/S, ERR/S, DROP/S", "Misses, errors told and datagrams dropped, a second, in the last"
         " interval."),
        ("MISSES, ERRORS, DROPS", "The same since the trace began."),
        ("CAUSE", "That of the flow's latest incident; `+N`: there are others. `?`: in doubt."),
        ("FLOW", "The datagram's ends as its receiver saw them; with `--by` what a row is."),
        ("HELD BY, SENT BY", "Who holds the socket that refuses or drops, and who sent it."),
        ("NETNS", "The receiver's network namespace."),
        ("keys", "`m` `e` `d` `n` sort by misses, errors, drops, name; `b` groups; space pauses;"
         " `q` quits."),
    ),
    overhead=TRACING + " Each interval reads the kernel's counters and the sockets' drops, for no"
    " more than 200 ms.",
    caveats=(
        LOSS,
        "Of 2048 flows the figures are kept; what is left out is counted in the status line.",
        "Drops are a socket's: each of its flows shows them.",
        "Nothing is recorded: `udptrace record` beside it does that.",
        NAMES,
    ),
    docs=("top.md",),
)  # fmt: skip
