"""`tracer trace`: one probe, live."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import click

from tracer.cli.options import json_option, node_option
from tracer.privileges import require_privileges

if TYPE_CHECKING:
    from tracer.packet import IpFamily


@click.command()
@click.argument("source")
@click.argument("destination")
@click.option("--protocol", default="icmp", show_default=True, metavar="icmp|udp|tcp|dns", help="What to send.")
@click.option("--port", type=int, metavar="N", help="The destination's port; dns has 53, udp and tcp need one.")
@click.option("-4", "family", flag_value=4, type=int, help="Only IPv4.")
@click.option("-6", "family", flag_value=6, type=int, help="Only IPv6.")
@node_option
@click.option("--timeout", default=5.0, show_default=True, metavar="S", help="How long to wait for an answer.")
@json_option
def trace(
    source: str,
    destination: str,
    protocol: str,
    port: int | None,
    family: IpFamily | None,
    node: str,
    timeout: float,
    json_path: str | None,
) -> int:
    """Send one probe from SOURCE to DESTINATION, follow it and its reply, and say where they ended.

    An endpoint is `node`, `netns:NAME`, `netns:/PATH`, `pid:N` or an IP address.
    """
    from tracer.endpoints.parse import choose_port, parse_endpoint, parse_protocol

    ends = parse_endpoint(source), parse_endpoint(destination), parse_endpoint(node)
    chosen = parse_protocol(protocol)
    choose_port(chosen, port)
    if not 0 < timeout <= 3600:
        raise click.BadParameter("must be between 0 and 3600 seconds", param_hint="--timeout")
    require_privileges()
    gc.disable()  # a run of a second leaves nothing that would be worth the searches
    from tracer.preparation import preparing

    with preparing() as preparation:
        from tracer.report.console import out_and_err
        from tracer.report.progress import progress
        from tracer.report.terminal import print_trace
        from tracer.tracing import TraceRequest, trace_flow

        out, err = out_and_err(json_path)
        with progress(err) as tell:
            request = TraceRequest(*ends, chosen, port, family, timeout)
            document = trace_flow(request, preparation, tell)
        print_trace(document, out)
    if json_path:
        from tracer.document_file import write_document

        write_document(document, json_path)
    return 0 if document.verdict.outcome == "delivered" else 1
