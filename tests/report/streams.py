"""Print on a stream of a given kind and return what arrived there."""

from __future__ import annotations

import io
import re

from tracer.report.console import open_console

SGR = re.compile(r"\x1b\[[0-9;]*m")
"""Colours and weights, the only escape sequences that a report may send (ECMA-48, SGR)."""


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


def printed(printer, value, width=80, encoding="utf-8", **options):
    """Return what `printer(value, console, **options)` prints where there is no terminal."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = open_console(stream)
    console.width = width
    printer(value, console, **options)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def printed_on_terminal(printer, value, width=80, **options):
    """Return what `printer(value, console, **options)` sends to a terminal."""
    stream = Terminal()
    console = open_console(stream)
    console.width = width
    printer(value, console, **options)
    return stream.getvalue()
