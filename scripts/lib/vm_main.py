"""Starts scripts/vm's Python part (its own file, so that `vm` is importable as a package)."""

import sys

from vm.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
