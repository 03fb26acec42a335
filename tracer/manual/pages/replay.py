"""The manual page of `udptrace replay`."""

from tracer.manual.page import INCIDENT, READING, Page

PAGE = Page(
    examples=(
        ("udptrace replay trace.rec", "What the live trace showed."),
        ("udptrace replay -N all trace.rec", "Everything that was recorded."),
        ("udptrace replay --cause closed -f json trace.rec", "Some incidents, as JSON."),
        ("gzip -dc trace.rec.gz | udptrace replay -", "From standard input."),
        ("udptrace replay trace.rec trace.rec.1 trace.rec.2", "The parts of one trace, as one."),
    ),
    fields=(
        *INCIDENT,
        ("kind, schema", "Of the JSON lines, as `udptrace live -f json` prints them: see"
         " docs/incident.md."),
    ),
    overhead=READING,
    caveats=(
        "The verdicts are made anew: a later udptrace may say more of an old recording.",
        "A damaged or truncated recording is read as far as it goes, and what is missing is said.",
        "A recording is taken at its word: whoever can write to it can make it say anything.",
    ),
    docs=("causes.md", "incident.md", "recording-format.md"),
)  # fmt: skip
