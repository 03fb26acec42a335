"""One object as a line of the JSON stream."""

from __future__ import annotations

import json

from tracer.parts import Json


def json_line(value: Json) -> str:
    """ASCII only, so that whatever a name holds is one line and valid JSON."""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": ")) + "\n"
