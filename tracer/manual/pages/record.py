"""The manual page of `udptrace record`."""

from tracer.manual.page import LOOKUPS, LOSS, TRACING, Page

PAGE = Page(
    examples=(
        ("udptrace record -w trace.rec", "Keep the evidence until Ctrl-C."),
        ("udptrace record -w trace.rec.gz", "The same, compressed."),
        ("udptrace record -w trace.rec --max-size 10M --max-files 5", "Of a long trace the latest"
         " 50 MB."),
        ("udptrace record --ring 15m --trigger any -w box", "A flight recorder: its last minutes"
         " are written at an incident, on SIGUSR1 and at the end."),
    ),
    fields=(
        ("FILE", "JSON lines, described in docs/recording-format.md; only its owner can read it."),
        ("FILE.1, FILE.2", "With `--max-size`: the files that follow, each complete by itself."),
        ("FILE.TIME.NUMBER", "With `--ring`: one for each time the ring was written."),
        ("summary", "On standard error: how long, how many misses, sockets and proven probes, and"
         " what was lost."),
    ),
    overhead=f"{TRACING}{LOOKUPS} With `--ring` that is so unless asked for otherwise, and no more"
    " than `--max-size` is held in memory.",
    caveats=(
        LOSS,
        "A recording has addresses, process names and, with `--snaplen`, payload: treat it as a"
        " capture.",
        "What is in memory is lost with the process: up to a second, and with `--ring` all that was"
        " not written yet.",
    ),
    docs=("recording-format.md",),
)  # fmt: skip
