"""The manual page of `udptrace states`."""

from tracer.manual.page import HOST_NETWORK, LOSS, NAMES, Page

PAGE = Page(
    examples=(
        ("udptrace states", "Of the whole machine, until Ctrl-C."),
        ("udptrace states -c web --what connected,reconnected,disconnected", "Who changes peers."),
        ("udptrace states --what failed", "What bind() and connect() did not do, and why."),
        ("udptrace states dns.rec --process unbound", "Of a recording: no root is needed."),
    ),
    fields=(
        ("created", "socket(): it has no port yet, and takes nothing."),
        ("bound", "bind(); for port 0 the kernel chose the port."),
        ("autobound", "The kernel chose a port, for connect() or a send needed one."),
        ("connected, reconnected", "connect() of a socket without and with a peer."),
        ("disconnected", "connect(AF_UNSPEC), or `ss -K`."),
        ("closed", "Its last descriptor was closed."),
        ("failed", "bind(), connect() or an autobind ended with the error named."),
        ("second line", "The socket's ends now and before, who chose them, and whom it takes"
         " datagrams from by that."),
    ),
    overhead="One event a call, none a datagram: no probe is on the path of one. What costs more is"
    " attached only while it runs.",
    caveats=(
        LOSS,
        "An error from before UDP's own function (a security module, a BPF program that refuses) is"
        " not seen.",
        "A recording of `live` or `record` has no `created`, and does not tell connect() from a"
        " send.",
        HOST_NETWORK,
        NAMES,
    ),
    docs=("states.md",),
)  # fmt: skip
