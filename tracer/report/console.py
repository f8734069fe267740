"""The consoles that reports are printed on."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console


def open_console(stream: TextIO) -> Console:
    """Return a console that writes to `stream`.

    Colour only on a terminal, and not where NO_COLOR is set; the width is the terminal's, 80 columns without one.
    Strings are shown as they are, never read as markup.
    """
    return Console(file=stream, markup=False, emoji=False, highlight=False)


def out_and_err(json_path: str | None) -> tuple[Console, Console]:
    """Return where people's text goes, and where progress does: both to stderr when stdout carries the document."""
    err = open_console(sys.stderr)
    return (err if json_path == "-" else open_console(sys.stdout)), err
