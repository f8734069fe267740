"""`tracer hooks`: what runs at each netfilter hook, in true order."""

from __future__ import annotations

import click

from tracer.cli.options import json_option, node_option
from tracer.privileges import require_privileges


@click.command()
@node_option
@json_option
def hooks(node: str, json_path: str | None) -> int:
    """Show what runs at each netfilter hook of the node, in true order, as the kernel has it."""
    from tracer.endpoints.parse import parse_endpoint

    endpoint = parse_endpoint(node)
    require_privileges()
    from tracer.capture.hook_functions import SOURCE, read_hooks
    from tracer.capture.programs import Programs
    from tracer.document_file import write_json
    from tracer.endpoints.namespaces import node_namespace
    from tracer.report.console import out_and_err
    from tracer.report.hooks import print_hooks

    out, _ = out_and_err(json_path)
    functions = read_hooks(Programs(SOURCE), [node_namespace(endpoint)])
    print_hooks(functions, out)
    if json_path:
        write_json(functions, json_path)
    return 0
