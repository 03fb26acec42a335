"""``python3 -m tracer.manual DIRECTORY`` writes the manual pages and completion scripts into it."""

from __future__ import annotations

import sys
from pathlib import Path

from tracer.manual.build import manual_pages
from tracer.manual.completions import completion_scripts


def main(arguments: list[str]) -> int:
    """Write them; 2 for wrong usage, 1 when the directory cannot be written."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python3 -m tracer.manual DIRECTORY", file=sys.stderr)
        return 2
    directory = Path(arguments[0])
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in (*manual_pages(), *completion_scripts()):
            (directory / name).write_text(text, encoding="ascii")
    except OSError as error:
        print(f"tracer.manual: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
