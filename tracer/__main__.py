"""Run the command line, as `python -m tracer` and as the program `tracer`."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until main() listens, there is nothing to undo or to explain

from tracer.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
