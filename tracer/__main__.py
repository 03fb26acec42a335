"""``python3 -m tracer`` is the command ``udptrace``."""

from tracer.cli.main import main

if __name__ == "__main__":
    main()
