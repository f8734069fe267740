"""The report that a terminal shows: a trace document for a tired reader.

The verdict comes first, then the culprit, the path of both legs, the findings with their remedy, and how the trace
was made. Names and comments come from the node and are never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

from tracer.document import Flow, LegTrace, TraceDocument
from tracer.report.environment import environment_block
from tracer.report.findings import finding_block
from tracer.report.mark import find_mark
from tracer.report.path import leg_rows
from tracer.report.rows import ARROW, Row, empty, row, title
from tracer.report.summary import culprit_rows, hook_words, verdict_row
from tracer.report.view import View


@dataclass(frozen=True)
class TraceReport:
    """A document as a rich renderable; `all_rules` shows every rule that matched instead of the deciding ones."""

    document: TraceDocument
    all_rules: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the report's lines."""
        yield from report_blocks(self.document, all_rules=self.all_rules)


def print_trace(document: TraceDocument, console: Console, *, all_rules: bool = False) -> None:
    """Print a document; see `tracer.report.console.open_console`. Lines to be copied may be longer than the width."""
    console.print(TraceReport(document, all_rules), crop=False)


def report_blocks(document: TraceDocument, *, all_rules: bool) -> Iterator[RenderableType]:
    """Yield the blocks of a report, with an empty line between them."""
    mark = find_mark(document)
    yield verdict_row(document.verdict)
    culprit = document.verdict.culprit
    if culprit is not None:
        yield empty()
        yield title("Culprit")
        yield from culprit_rows(culprit, document.verdict, mark, hook_words(culprit))
    started_ns = min((hop.at_ns for leg in document.legs for hop in leg.hops), default=0)
    for leg in document.legs:
        here = mark if mark is not None and mark.leg is leg else None
        yield empty()
        yield _leg_title(leg, document.flow)
        yield from leg_rows(leg, View(started_ns, here, all_rules))
    for finding in document.findings:
        yield from finding_block(finding)
    yield from environment_block(document)


def _leg_title(leg: LegTrace, flow: Flow) -> Row:
    ends = (flow.source.endpoint, flow.destination.endpoint)
    sender, receiver = ends if leg.leg == "request" else reversed(ends)
    first = next((hop for hop in leg.hops if hop.address_from), None)
    addresses = (first.address_from, first.address_to) if first else ("", "")
    names = f" {ARROW} ".join(map(_end, (sender, receiver), addresses))
    return row((f"{leg.leg.capitalize()}  ", "bold"), names, (f", {flow.protocol}", "dim"))


def _end(name: str, address: str) -> str:
    if name in address:  # an endpoint may be an address itself
        return address
    return f"{name} ({address})" if address else name
