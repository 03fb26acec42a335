"""Where Debian packages come from: the machine's own apt configuration, or DEBIAN_MIRROR."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

from .errors import VmError

# What a Debian release may be called in an apt source; a derivative's names are none of these.
RELEASE = re.compile(
    r"(bullseye|bookworm|trixie|forky|duke|sid|(old)*stable|testing|unstable)(-[a-z-]+)?(/updates)?"
)


@dataclass(frozen=True)
class Mirror:
    """The Debian archive and its security archive."""

    main: str
    security: str

    def sources(self, suites: tuple[str, ...], keyring: str) -> str:
        """sources.list lines for the suites; `-security` ones come from the security archive."""
        lines = []
        for suite in suites:
            site = self.security if suite.endswith("-security") else self.main
            lines.append(f"deb [signed-by={keyring}] {site} {suite} main\n")
        return "".join(lines)


def find() -> Mirror:
    """The mirror to use. Raises VmError when nothing names one: on Ubuntu, say."""
    given = os.environ.get("DEBIAN_MIRROR", "").rstrip("/")
    if given:
        security = os.environ.get("DEBIAN_SECURITY_MIRROR", "").rstrip("/")
        return Mirror(given, security or f"{given}-security")
    command = ["apt-get", "indextargets", "--format"]
    command.append("$(SITE)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)")
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        listing = ""
    return choose(listing)


def choose(listing: str) -> Mirror:
    """Pick the Debian archives out of apt's index targets (SITE|RELEASE|COMPONENT|ORIGIN lines).

    Raises VmError when there is none. The security archive, when not named, lies beside the main.
    """
    main = security = ""
    for line in listing.splitlines():
        fields = line.split("|")
        if len(fields) != 4:
            continue
        site, release, component, origin = fields
        # ORIGIN is empty until `apt-get update` has run once. Others that name their suites
        # like Debian's (container engines, databases) have no component `main` or another origin.
        if not RELEASE.fullmatch(release) or component != "main" or origin not in ("Debian", ""):
            continue
        if "-security" in release or release.endswith("/updates"):
            security = security or site.rstrip("/")
        elif not release.endswith("-backports"):
            main = main or site.rstrip("/")
    if not main:
        raise VmError(
            "this machine's apt configuration names no Debian mirror: set DEBIAN_MIRROR to one's "
            "URL, which ends in /debian"
        )
    return Mirror(main, security or f"{main}-security")


def apt_options() -> tuple[str, ...]:
    """The machine's own download settings (proxies, time-outs, validity), as apt.conf lines."""
    try:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return DOWNLOAD_OPTIONS
    return (*download_settings(dump.stdout), *DOWNLOAD_OPTIONS)


DOWNLOAD_OPTIONS = ('Acquire::Retries "5";', 'Acquire::Languages "none";')

# These say how to reach the mirror; the rest of Acquire says what to keep on this machine.
REACHING = re.compile(r"Acquire::(https?|ftp|socks|Check-|Max-|Proxy|Queue-Mode|ForceIPv)", re.I)


def download_settings(dump: str) -> tuple[str, ...]:
    """The lines of `apt-config dump` which say how packages are fetched."""
    return tuple(line for line in dump.splitlines() if REACHING.match(line) and '""' not in line)
