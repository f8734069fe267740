"""A replay's result: a line for each probe, then what became of those that were lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from tracer.document import Culprit, Flow
from tracer.report.charset import Charset, charset_of
from tracer.report.environment import lost_words
from tracer.report.findings import finding_block
from tracer.report.mark import find_mark
from tracer.report.rows import Row, listed, row, title
from tracer.report.summary import culprit_rows
from tracer.report.view import OUTCOME_STYLES
from tracer.scenario.run import ProbeResult, ReplayDocument

_PHASES = {"before": "Before the remedy", "after": "After the remedy"}


@dataclass(frozen=True)
class ReplayReport:
    """A replay's result as a rich renderable."""

    document: ReplayDocument

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the report's lines."""
        yield from replay_blocks(self.document, charset_of(options))


def print_replay(document: ReplayDocument, console: Console) -> None:
    """Print a replay's result; lines to be copied may be longer than the console's width."""
    console.print(ReplayReport(document), crop=False)


def replay_blocks(document: ReplayDocument, charset: Charset) -> Iterator[RenderableType]:
    """Yield the result in one sentence, the probes of each phase, the culprits of those lost, and the findings."""
    yield _result_row(document, charset)
    widths = _Widths(
        name=max((len(charset.shown(result.name)) for result in document.probes), default=0),
        outcome=max((len(result.trace.verdict.outcome) for result in document.probes), default=0),
    )
    for phase, results in groupby(document.probes, key=lambda result: result.phase):
        yield Text()
        yield title(_PHASES[phase])
        for result in results:
            yield from _probe_rows(result, widths, charset)
    yield from _culprits(document.probes, charset)
    findings = {finding: None for result in document.probes for finding in result.trace.findings}
    for finding in findings:
        yield from finding_block(finding, charset)


@dataclass(frozen=True)
class _Widths:
    name: int
    outcome: int


def _result_row(document: ReplayDocument, charset: Charset) -> Row:
    good = sum(not result.differences for result in document.probes)
    words = f"{good} of {len(document.probes)} probes did what the scenario expects"
    style = "bold green" if document.as_expected else "bold red"
    return row("", (words, style), charset.shown(f"  {document.scenario}: {document.title}"))


def _probe_rows(result: ProbeResult, widths: _Widths, charset: Charset) -> Iterator[Row]:
    verdict, name = result.trace.verdict, charset.shown(result.name)
    sign = ("differs  ", "bold red") if result.differences else ("ok       ", "green")
    outcome = (f"{verdict.outcome.replace('_', ' '):<{widths.outcome}}  ", OUTCOME_STYLES[verdict.outcome])
    lead = Text.assemble("  ", sign, f"{name:<{widths.name}}  ", outcome)
    yield row(lead, charset.shown(_route(result.trace.flow)))
    for difference in result.differences:
        yield row(" " * 11, (charset.shown(difference), "red"))
    if result.trace.capture.lost:
        yield row(" " * 11, (lost_words(result.trace.capture.lost), "yellow"))


def _route(flow: Flow) -> str:
    port = f" {flow.destination.port}" if flow.destination.port is not None and flow.protocol != "dns" else ""
    return f"{flow.source.endpoint} to {flow.destination.endpoint}, {flow.protocol}{port}"


def _culprits(results: Sequence[ProbeResult], charset: Charset) -> Iterator[RenderableType]:
    """Yield each culprit once, with the names of the probes that it ended."""
    ended: dict[Culprit, list[ProbeResult]] = {}
    for result in results:
        if result.trace.verdict.culprit is not None:
            ended.setdefault(result.trace.verdict.culprit, []).append(result)
    for together in ended.values():
        trace = together[0].trace
        yield Text()
        yield title(charset.shown(f"Culprit of {listed(map(_name, together))}"))
        yield from culprit_rows(trace.verdict, find_mark(trace), charset)


def _name(result: ProbeResult) -> str:
    return result.name if result.phase == "before" else f"{result.name} after the remedy"
