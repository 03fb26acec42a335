"""What a manual page says beyond --help, and the words that several pages share.

In every text what stands between backticks is printed as it is typed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """The sections of one subcommand's page."""

    examples: tuple[tuple[str, str], ...]
    """A command line, and what it is for."""
    fields: tuple[tuple[str, str], ...]
    """A word of the output, and what stands behind it."""
    overhead: str
    caveats: tuple[str, ...]
    bad_answer: str = ""
    """When the exit status is 3; empty: never."""
    docs: tuple[str, ...] = ()
    """The pages of docs/ that have more."""

    @property
    def statuses(self) -> tuple[tuple[str, str], ...]:
        """The exit statuses there are, and when each is used."""
        return (*STATUSES, ("3", self.bad_answer)) if self.bad_answer else STATUSES


STATUSES = (
    ("0", "It did what was asked. Ctrl-C and SIGTERM end a trace well, too."),
    ("1", "A failure; its reason is one line on standard error."),
    ("2", "Wrong usage: an option, a target or a filter that cannot be meant."),
)

TRACING = (
    "A datagram that finds its socket costs no event. It passes one kprobe for each lookup of the "
    "kernel's, which writes to a slot of its own processor. A miss costs one event and one look at "
    "the sockets of its port; the same miss again is a counter in the kernel. The first start on "
    "a kernel compiles the probes, which takes some seconds of one processor; root's later ones "
    "find them in /var/cache/udptrace."
)

LOOKUPS = (
    " `--lookups off` leaves the kprobe on lookups out: what is received then costs nothing, and a "
    "verdict rests on the datagram and the sockets alone."
)

READING = (
    "None on the machine that is traced: it reads files only, in memory that does not grow with "
    "them."
)

NOT_SEEN = (
    "What happened before the trace began was not seen: a call that set a field, a socket that was "
    "closed. The output says `older than the trace`, and never guesses."
)

LOSS = (
    "Records can be lost when more happens than is read. They are counted in the kernel, told as "
    "they happen, and the verdicts that they may touch are marked with `?`."
)

NAMES = (
    "Names of processes, containers and namespaces are what their owners chose. They are escaped "
    "and shortened, and prove nothing."
)

HOST_NETWORK = (
    "A container means its network namespace: containers of one pod share it, and with the host's "
    "network all of the host is shown, which is said."
)

INCIDENT = (
    ("time, cause, datagram", "When it missed (UTC), why, and from which address and port to which."
     " `?` behind the cause: it is in doubt, and `doubt` says why."),
    ("netns", "The network namespace in which no socket took it, or the ICMP was sent."),
    ("before NAT", "The datagram's ends before a translation, and where that was made."),
    ("refused by", "The socket that came nearest to taking it: its process, descriptor, ends and"
     " state; below, the field that refused. `held by`: it was closed before. `missed`: it would"
     " have taken it a moment later. `why`: there is no socket to name."),
    ("set by", "The call that gave that field its value: by whom, when, and what it was before."),
    ("sent by", "The socket of this machine that sent it, and whether it was closed since."),
    ("told", "Who was told, and by which error; or why nobody was."),
    ("hint", "What else may help to understand it."),
    ("note", "What was not seen or is not certain, though it does not change the verdict."),
    ("doubt", "What was lost or not seen that could change the verdict."),
    ("do", "What to do about it."),
)  # fmt: skip
