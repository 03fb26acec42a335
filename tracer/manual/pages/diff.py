"""The manual page of `udptrace diff`."""

from tracer.manual.page import READING, Page

PAGE = Page(
    examples=(
        ("udptrace diff before.rec after.rec", "What a change has brought or mended."),
        ("udptrace diff --tolerance 50 before.rec after.rec", "Rates may differ by half."),
        ("udptrace diff -f json before.rec after.rec", "For a script; so is the exit status."),
    ),
    fields=(
        ("before, after", "Misses, and misses a second of trace time."),
        ("New", "Groups that only AFTER has."),
        ("More often, Less often", "Groups whose rate has changed by more than `--tolerance`."),
        ("As before", "Groups whose rate has not."),
        ("Gone", "Groups that only BEFORE has."),
    ),
    overhead=READING,
    caveats=(
        "Groups are the same when cause, network namespace, culprit and ends are, whatever the"
        " host, the boot and the process number.",
        "A rate of a short trace says little: one miss more is much of it.",
    ),
    bad_answer="AFTER has more: a new group, or one at a higher rate.",
    docs=("report.md",),
)
