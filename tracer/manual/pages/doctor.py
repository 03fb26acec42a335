"""The manual page of `udptrace doctor`."""

from tracer.manual.page import Page

PAGE = Page(
    examples=(
        ("udptrace doctor", "What works here, and how to mend what does not."),
        ("udptrace doctor -f json > doctor.json", "To be sent with a question."),
    ),
    fields=(
        ("ok", "It works, and nothing is lost."),
        ("degraded", "A trace starts without it; `lost` says what it lacks."),
        ("broken", "No live trace starts because of it."),
        ("unknown", "It was not tried, or this machine does not tell it."),
        ("remedy", "What mends it, as a command where there is one."),
    ),
    overhead="That of a start: the first time some seconds of one processor to compile the probes,"
    " and one connect() and one miss for each address family, in a private network namespace where"
    " that may be made, else on the loopback.",
    caveats=(
        "Without root it says what can be said without.",
        "It is about the machine as it is: what is loaded or set later is not in it.",
    ),
    docs=("doctor.md", "privileges.md", "troubleshooting.md"),
)
