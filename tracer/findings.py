"""What a look at this machine found: each thing working, lost in part, or in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tracer.errors import StartError

Status = Literal["ok", "degraded", "broken"]

Fact = str | int | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; make it with `ok`, `degraded`, `broken` or `unknown`.

    ``status`` is None for what is not known, ``detail`` saying why not. ``lost`` is what a trace
    lacks, ``remedy`` what mends it, a command wherever there is one; empty where there is none.
    ``facts`` are the same in values, for scripts.
    """

    name: str
    status: Status | None
    detail: str
    lost: str = ""
    remedy: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)


def ok(name: str, detail: str, **facts: Fact) -> Finding:
    """It works, and nothing is lost."""
    return Finding(name, "ok", detail, facts=facts)


def degraded(name: str, detail: str, lost: str, remedy: str = "", **facts: Fact) -> Finding:
    """A trace starts without it and lacks something."""
    return Finding(name, "degraded", detail, lost, remedy, facts)


def broken(name: str, detail: str, remedy: str, **facts: Fact) -> Finding:
    """No live trace starts because of it."""
    return Finding(name, "broken", detail, "", remedy, facts)


def unknown(name: str, why: str, **facts: Fact) -> Finding:
    """It was not tried, or cannot be told."""
    return Finding(name, None, why, facts=facts)


def failed(name: str, error: StartError, **facts: Fact) -> Finding:
    """A step of the start that ended in this error."""
    return broken(name, error.what, error.remedy, **facts)
