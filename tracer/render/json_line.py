"""One object as a line of the JSON stream."""

from __future__ import annotations

import json

from tracer.parts import Json

# json.dumps() with other separators than its own makes an encoder anew for each line.
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(", ", ": "))


def json_line(value: Json) -> str:
    """ASCII only, so that whatever a name holds is one line and valid JSON."""
    return _ENCODER.encode(value) + "\n"
