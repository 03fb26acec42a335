"""The manual page of `udptrace live`."""

from tracer.manual.page import HOST_NETWORK, INCIDENT, LOOKUPS, LOSS, NAMES, NOT_SEEN, TRACING, Page

PAGE = Page(
    examples=(
        ("udptrace", "The whole machine, until Ctrl-C: `live` need not be named."),
        ("udptrace -c web", "What concerns the container `web`, also after it is restarted."),
        ("udptrace -c shop/cart-0 --wait", "A pod that does not run yet, from its start."),
        ("udptrace -N web -w web.rec", "The netns `web`; the evidence of all is kept in web.rec."),
        ("udptrace --cause remote --port 53", "What other machines refused of DNS."),
        ("udptrace -f json --count 1 --duration 60", "The first incident, as JSON, or none."),
    ),
    fields=(
        *INCIDENT,
        ("lost", "A line of its own: how many records were lost, and of what."),
        ("started, ended", "A container that -c names has begun or ended."),
        ("died silently", "In the summary: what no ICMP told of, from the kernel's counters."),
        ("kind, schema", "Of the JSON lines: every field is described in docs/incident.md, and by"
            " the JSON Schema docs/stream.schema.json."),
    ),
    overhead=TRACING + LOOKUPS,
    caveats=(
        NOT_SEEN,
        LOSS,
        HOST_NETWORK,
        NAMES,
        "An error is told once it is queued on a socket; whether it was read is not known.",
        "What another machine did with a datagram is known only from the ICMP that came back.",
    ),
    docs=("causes.md", "incident.md", "targets.md", "security.md"),
)  # fmt: skip
