"""The probes are compiled once, in a process of its own; later starts take what it made."""

from __future__ import annotations

import re
import shutil
from contextlib import closing

from tests.kernel.live import run
from tests.kernel.test_failures import ALL_PROVEN
from tracer.kernel import cache
from tracer.kernel.casts import CAST, TYPES
from tracer.kernel.definitions import read_definitions
from tracer.kernel.probes import PROBES
from tracer.kernel.program import Program, Variant
from tracer.kernel.trial import Trial

_OWN = re.compile(r", peak memory (\d+) MB$", re.MULTILINE)
_COMPILER = re.compile(r"memory of the compiler, which has ended: (\d+) MB$", re.MULTILINE)


def test_a_start_compiles_or_takes_what_an_earlier_one_compiled() -> None:
    """Its memory is the compiler's for no longer than that runs, and never its own.

    From 113 to 143 MB of the compiler's were seen: by BCC and kernel, and by chance, for pages may
    be huge.
    """
    shutil.rmtree(cache.DIRECTORY, ignore_errors=True)
    cold, warm = (run("live", "-v", "--duration", "0.1") for _ in range(2))
    for done in (cold, warm):
        assert done.returncode == 0, done.stderr
        assert ALL_PROVEN in done.stderr
        assert _megabytes(_OWN, done.stderr) <= 64
    assert "udptrace: compile: " in cold.stderr
    assert _megabytes(_COMPILER, cold.stderr) <= 180
    assert "udptrace: take the compiled probes: " in warm.stderr
    assert "memory of the compiler" not in warm.stderr


def test_programs_that_may_not_cast_are_compiled_to_do_without() -> None:
    """The verifier is given a function's type for each struct's: nothing may be cast to that."""
    layout = read_definitions()
    wrong = {f"TYPE_{name}": layout.get(CAST, 0) for name in TYPES}
    for given, casts in ((layout, CAST in layout), ({**layout, **wrong}, False)):
        with closing(Program(given, Variant())) as program:
            assert program.casts is casts
            assert [o.fault for o in Trial(program, PROBES).outcomes() if o.fault] == []


def _megabytes(pattern: re.Pattern[str], told: str) -> int:
    match = pattern.search(told)
    assert match is not None, told
    return int(match[1])
