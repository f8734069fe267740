"""The consoles that reports are printed on."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from rich.console import Console

from tracer.errors import UsageError


class _StreamConsole(Console):
    """A console whose reader may go away, and whose file may be full."""

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401  (as rich has it)
        """Print as rich does; raise UsageError when the stream takes no more."""
        try:
            super().print(*objects, **options)
        except OSError as error:
            name = "standard error" if self.file is sys.stderr else "standard output"
            raise UsageError(f"cannot write to {name}: {error.strerror}", "Let it go to where there is room") from error

    def on_broken_pipe(self) -> None:
        """Say no more to a reader that has seen enough (`| head`); the run ends as it would have."""
        self.quiet = True


def open_console(stream: TextIO) -> Console:
    """Return a console that writes to `stream`.

    Colour only on a terminal, and not where NO_COLOR is set; the width is the terminal's, 80 columns without one.
    Strings are shown as they are, never read as markup.
    """
    return _StreamConsole(file=stream, markup=False, emoji=False, highlight=False)


def out_and_err(json_path: str | None) -> tuple[Console, Console]:
    """Return where people's text goes, and where progress does: both to stderr when stdout carries the document."""
    err = open_console(sys.stderr)
    return (err if json_path == "-" else open_console(sys.stdout)), err
