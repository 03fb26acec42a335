"""Prints what the development environment holds, a requirement a line, from pyproject.toml."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def requirements(text: str) -> list[str]:
    """The strings of `dependencies`, `dev` and `requires`; by hand, for 3.10 has no tomllib."""
    found: list[str] = []
    for name in ("dependencies", "dev", "requires"):
        block = re.search(rf"(?ms)^{name} = \[(.*?)\]$", text)
        if block is None:
            raise SystemExit(f"pyproject.toml: no list {name}")
        found += re.findall(r'"([^"]+)"', block.group(1))
    return found


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]).read_text())))
