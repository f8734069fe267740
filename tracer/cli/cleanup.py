"""`tracer cleanup`: undo what a killed run has left set, if anything."""

from __future__ import annotations

import sys

import click

from tracer.errors import CannotTraceError


@click.command("cleanup")
def cleanup() -> int:
    """Undo what a killed run has left set on this node, if anything.

    Exit status: 0 when nothing is left, 3 when something could not be undone.
    """
    from tracer.changes import sentence
    from tracer.journal import undo_dead
    from tracer.report.console import open_console
    from tracer.text import printable

    out = open_console(sys.stdout)
    undone = undo_dead()
    for one in undone:
        out.print(printable(f"{sentence(one)}."), soft_wrap=True)
    if not undone:
        out.print("Nothing was left to clean up.")
    return CannotTraceError.exit_status if any(one.outcome == "refused" for one in undone) else 0
