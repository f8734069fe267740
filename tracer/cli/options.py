"""Options that several commands share."""

from __future__ import annotations

import click


def _writable(_context: click.Context, _option: click.Parameter, path: str | None) -> str | None:
    """Refuse a file that cannot be written before the trace rather than after it."""
    if path is not None:
        from tracer.document_file import check_writable

        check_writable(path)
    return path


node_option = click.option(
    "--node", metavar="ENDPOINT", default="node", help="The namespace that forwards for the pods (default: this one)."
)
json_option = click.option(
    "--json",
    "json_path",
    metavar="FILE|-",
    callback=_writable,
    help="Write the document as JSON; `-` is stdout, and text goes to stderr.",
)
