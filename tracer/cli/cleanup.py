"""`tracer cleanup`: undo what a killed run has left set, if anything."""

from __future__ import annotations

import click

from tracer.changes import sentence
from tracer.journal import undo_dead
from tracer.text import printable


@click.command("cleanup")
def cleanup() -> None:
    """Undo what a killed run has left set on this node, if anything."""
    undone = undo_dead()
    for one in undone:
        click.echo(printable(f"{sentence(one)}."))
    if not undone:
        click.echo("Nothing was left to clean up.")
    if any(one.outcome == "refused" for one in undone):
        raise click.exceptions.Exit(3)
