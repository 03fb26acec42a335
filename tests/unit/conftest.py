"""Lets the tests import the scripts' own package, `vm`, and has signals as a terminal has them; and
a recording that many of them show."""

import signal
import sys
from pathlib import Path

import pytest

from tests.unit import scenes
from tracer.recording import codec

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "lib"))

# Under nohup it is ignored, and by every process below.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """The seed's incident, run B."""
    path = tmp_path / "seed.jsonl"
    path.write_bytes(b"".join(map(codec.encode, scenes.run_b())))
    return path
