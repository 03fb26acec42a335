"""The manual page of `udptrace export`."""

from tracer.manual.page import READING, Page

PAGE = Page(
    examples=(
        ("udptrace export trace.rec --to pcapng -o trace.pcapng", "For Wireshark, with the verdict"
         " as each packet's comment."),
        ("udptrace export trace.rec --to csv -o trace.csv", "For a spreadsheet."),
        ("udptrace export trace.rec --to json --cause closed", "The incidents of one cause, a line"
         " each."),
    ),
    fields=(
        ("pcapng", "For each incident the datagram that missed, and the ICMP about it; an interface"
         " for each network namespace and device."),
        ("json", "The `incident` lines of docs/incident.md."),
        ("csv", "A header row, then a row an incident; the columns are in docs/export.md."),
    ),
    overhead=READING,
    caveats=(
        "A packet has the headers, and as much more as `--snaplen` kept; the ICMP is made of what"
        " is recorded, and says so.",
        "At most 4096 incidents are held back for what may still change of them; later changes are"
        " left out, and counted on standard error.",
    ),
    docs=("export.md", "incident.md"),
)  # fmt: skip
