"""Ctrl-C and the signals that ask for the same: an exception in the main thread, where it does no harm."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LATER = signal.SIGALRM
_LATER_S = 0.01
_IMPORT = "<frozen importlib"


class Interrupted(KeyboardInterrupt):
    """Somebody wants us to end.

    A class of its own: once a plain KeyboardInterrupt has left an exec(), as modules that are being imported use it,
    CPython ends by SIGINT, however it was handled (Modules/main.c, exit_sigint).
    """


def listen() -> None:
    """Raise Interrupted in the main thread when a signal comes, but for those that our caller ignores (nohup(1))."""
    sys.unraisablehook = _not_raised
    signal.signal(_LATER, _interrupt)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def ignore() -> None:
    """Let no signal interrupt any more."""
    for number in (*_SIGNALS, _LATER):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_signal: int, frame: FrameType | None) -> None:
    # An exception out of nowhere may leave an import's lock behind, on which other threads then wait for ever.
    if any(file.startswith(_IMPORT) for file in _files(frame)):
        _try_later()
    else:
        raise Interrupted


def _not_raised(unraisable: UnraisableHookArgs) -> None:
    """Try again after a destructor or callback, out of which no exception comes."""
    if isinstance(unraisable.exc_value, Interrupted):
        _try_later()
    else:
        sys.__unraisablehook__(unraisable)


def _try_later() -> None:
    signal.setitimer(signal.ITIMER_REAL, _LATER_S)


def _files(frame: FrameType | None) -> Iterator[str]:
    """Yield the files whose functions are running, from the innermost on."""
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back
