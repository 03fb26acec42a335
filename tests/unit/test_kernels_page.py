"""docs/kernels.md keeps up with the table of probes; tests/kernel compares it with real kernels."""

from __future__ import annotations

import pytest

from tests.kernel_table import column_of, columns, said_of
from tracer.kernel.probes import PROBES, STATES, Probe

EVERY = (*PROBES, *STATES)


@pytest.mark.parametrize("probe", EVERY, ids=lambda probe: probe.name)
@pytest.mark.parametrize("kernel", columns())
def test_every_probe_has_a_row(probe: Probe, kernel: str) -> None:
    name = f"`{probe.symbols[0]}`" + ("" if probe.provable else " *")
    said = said_of(kernel)[name]
    assert said in ("yes", "no") or said.strip("`").split(".")[0] in probe.symbols


def test_no_row_is_of_a_probe_that_is_gone() -> None:
    rows = {row.strip("`* ") for row in said_of(columns()[0]) if row.startswith("`")}
    assert rows == {probe.symbols[0] for probe in EVERY}


@pytest.mark.parametrize(
    ("release", "column"),
    [
        ("5.10.0-46-amd64", "5.10"),
        ("6.1.0-56-amd64", "6.1"),
        ("6.12.117+deb13-amd64", "6.12"),
        ("7.9.1", columns()[-1]),
    ],
)
def test_a_kernel_finds_its_column(release: str, column: str) -> None:
    assert column_of(release) == column
