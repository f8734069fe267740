"""Keep what C code says on standard error from the user, and find in it why something failed.

BCC, LLVM and the verifier's log that BCC prints write to file descriptor 2 themselves, up to megabytes. What Python
says to the user does not go by that descriptor: `tracer.cli.main` gives `sys.stderr` one of its own.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STDERR = 2
_MOST_BYTES = 2**20  # the reason stands at the end of a verifier's log, a compiler's first error near its start
_redirecting = threading.Lock()  # descriptor 2 is the process's: two that save and restore it would swap theirs

_ERROR = re.compile(r"^.*\berror: .+$", re.MULTILINE)
# Instructions, lines of source, what is known of registers, statistics (kernel/bpf/verifier.c), and BCC's advice.
_CONTEXT = re.compile(
    r"\d+: |; |R\d+\w*=|from \d+ to \d+|(?:cur|old) state: |processed \d+ insns|verification time |stack depth |HINT: "
)


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Give a function that returns what has been written to descriptor 2 since the context began.

    None of it reaches the user, nor what other threads write to that descriptor meanwhile.
    """
    with _redirecting:
        taken = os.memfd_create("stderr")
        kept = os.dup(_STDERR)
        os.dup2(taken, _STDERR)
        try:
            yield lambda: _text(taken)
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            os.close(taken)


def reason(text: str) -> str:
    """Return the line that says why a program was refused: a compiler's first error, or a verifier's last word.

    It is empty where there is none.
    """
    if error := _ERROR.search(text):
        return error[0].strip()
    telling = [line for line in map(str.strip, text.splitlines()) if line and not _CONTEXT.match(line)]
    return telling[-1] if telling else ""


def _text(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    if size <= 2 * _MOST_BYTES:
        data = os.pread(descriptor, size, 0)
    else:
        data = os.pread(descriptor, _MOST_BYTES, 0) + b"\n" + os.pread(descriptor, _MOST_BYTES, size - _MOST_BYTES)
    return data.decode("utf-8", "replace")
