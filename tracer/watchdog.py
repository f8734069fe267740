"""Undo what a run has set on the node after that run was killed: `python watchdog.py FOLDER JOURNAL`.

A small process of its own, because nothing runs in a process that gets SIGKILL. Standard input is a pipe from
the run. Its end says that the run is over, and the journal, if it is still there, what the run did not undo.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def main(folder: Path, journal: str) -> None:
    """Wait for the run to end, then undo what its journal in `folder` still lists."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 1):
        pass
    left = sorted(folder.glob(f"{journal}*"))
    if left:
        _undo(left)
    with suppress(OSError):  # gone already, or another run's
        folder.rmdir()


def _undo(journals: list[Path]) -> None:
    # Imported only here: most runs leave nothing, and none should wait for this.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tracer.journal import undo_journal

    for path in journals:
        undo_journal(path, wait=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
    os._exit(0)  # the run waits for us: it need not wait for Python to tidy up too
