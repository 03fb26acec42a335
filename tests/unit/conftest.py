"""Lets the tests import the scripts' own package, `vm`, and has signals as a terminal has them."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "lib"))

# Under nohup it is ignored, and by every process below.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
