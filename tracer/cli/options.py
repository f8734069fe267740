"""Options that several commands share."""

from __future__ import annotations

import os

import click

from tracer.errors import CannotTraceError

node_option = click.option(
    "--node", metavar="ENDPOINT", default="node", help="The namespace that forwards for the pods (default: this one)."
)
json_option = click.option(
    "--json", "json_path", metavar="FILE|-", help="Write the document as JSON; `-` is stdout, and text goes to stderr."
)


def need_root() -> None:
    """Raise CannotTraceError unless we run as root."""
    if os.geteuid() != 0:
        raise CannotTraceError(
            "tracer needs root: it loads BPF programs and enters network namespaces", "Run it with sudo"
        )
