"""Ctrl-C and the signals that ask for the same: an exception in the main thread, where it does no harm."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LATER = signal.SIGALRM
_LATER_S = 0.01
# An exception that comes out of nowhere may leave an import's lock behind, on which other threads then wait for ever;
# in what BCC calls back, it is printed and lost.
_FRAGILE = ("<frozen importlib", "/bcc/")


class Interrupted(KeyboardInterrupt):
    """Somebody wants us to end.

    A class of its own: once a plain KeyboardInterrupt has left an exec(), as modules that are being imported use it,
    CPython ends by SIGINT, however it was handled (Modules/main.c, exit_sigint).
    """


def listen() -> None:
    """Raise Interrupted in the main thread when a signal comes, but for those that our caller ignores (nohup(1))."""
    signal.signal(_LATER, _interrupt)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def ignore() -> None:
    """Let no signal interrupt any more."""
    for number in (*_SIGNALS, _LATER):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_signal: int, frame: FrameType | None) -> None:
    fragile = any(part in name for name in _files(frame) for part in _FRAGILE)
    signal.setitimer(signal.ITIMER_REAL, _LATER_S if fragile else 0)
    if not fragile:
        raise Interrupted


def _files(frame: FrameType | None) -> Iterator[str]:
    """Yield the files whose functions are running, from the innermost on."""
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back
