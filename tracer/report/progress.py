"""Say on a terminal what is being waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from tracer.report.rows import safe


@contextmanager
def progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Give a function that shows a phase in a line of `console`, which is gone in the end.

    It does nothing where there is no terminal, also when FORCE_COLOR makes rich see one.
    """
    if not console.file.isatty():
        yield lambda _phase: None
        return
    ascii_only = console.options.ascii_only
    with console.status("", spinner="line" if ascii_only else "dots") as status:
        yield lambda phase: status.update(Text(safe(phase, ascii_only=ascii_only), no_wrap=True, overflow="ellipsis"))
