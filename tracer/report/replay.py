"""A replay's result: a line for each probe, then what became of those that were lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from msgspec.structs import replace
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

from tracer.document import Confidence, Culprit, Flow
from tracer.report.environment import lost_words
from tracer.report.findings import finding_block
from tracer.report.mark import find_mark
from tracer.report.rows import Row, empty, listed, row, title
from tracer.report.summary import culprit_rows, hook_words
from tracer.report.view import OUTCOME_STYLES
from tracer.scenario.run import ProbeResult, ReplayDocument

_PHASES = {"before": "Before the remedy", "after": "After the remedy"}


@dataclass(frozen=True)
class ReplayReport:
    """A replay's result as a rich renderable."""

    document: ReplayDocument

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the report's lines."""
        yield from replay_blocks(self.document)


def print_replay(document: ReplayDocument, console: Console) -> None:
    """Print a replay's result; lines to be copied may be longer than the console's width."""
    console.print(ReplayReport(document), crop=False)


def replay_blocks(document: ReplayDocument) -> Iterator[RenderableType]:
    """Yield the result in one sentence, the probes of each phase, the culprits of those lost, and the findings."""
    yield from _result_rows(document)
    has_remedy = any(result.phase == "after" for result in document.probes)
    widths = _Widths(
        name=max((len(result.name) for result in document.probes), default=0),
        outcome=max((len(result.trace.verdict.outcome) for result in document.probes), default=0),
    )
    for phase, results in groupby(document.probes, key=lambda result: result.phase):
        yield empty()
        yield title(_PHASES[phase] if has_remedy else "Probes")
        for result in results:
            yield from _probe_rows(result, widths)
    yield from _culprits(document.probes)
    findings = {finding: None for result in document.probes for finding in result.trace.findings}
    for finding in findings:
        yield from finding_block(finding)


@dataclass(frozen=True)
class _Widths:
    name: int
    outcome: int


def _result_rows(document: ReplayDocument) -> Iterator[Row]:
    good = sum(not result.differences for result in document.probes)
    words = f"{good} of {len(document.probes)} probes did what the scenario expects"
    yield row("", (words, "bold green" if document.as_expected else "bold red"))
    yield row("", f"{document.scenario}: {document.title}")


def _probe_rows(result: ProbeResult, widths: _Widths) -> Iterator[Row]:
    verdict = result.trace.verdict
    sign = ("differs  ", "bold red") if result.differences else ("ok       ", "green")
    outcome = (f"{verdict.outcome.replace('_', ' '):<{widths.outcome}}  ", OUTCOME_STYLES[verdict.outcome])
    yield Row(("  ", sign, f"{result.name:<{widths.name}}  ", outcome), (_route(result.trace.flow),))
    for difference in result.differences:
        yield row(" " * 11, (difference, "red"))
    if result.trace.capture.lost:
        yield row(" " * 11, (lost_words(result.trace.capture.lost), "yellow"))


def _route(flow: Flow) -> str:
    port = f" {flow.destination.port}" if flow.destination.port is not None and flow.protocol != "dns" else ""
    return f"{flow.source.endpoint} to {flow.destination.endpoint}, {flow.protocol}{port}"


def _culprits(results: Sequence[ProbeResult]) -> Iterator[Row]:
    """Yield each culprit once, with the names of the probes that it ended and the hooks at which it did."""
    ended: dict[tuple[Culprit, Confidence], list[tuple[Culprit, ProbeResult]]] = {}
    for result in results:
        verdict = result.trace.verdict
        if verdict.culprit is not None:
            anywhere = replace(verdict.culprit, hook=None, device=None)
            ended.setdefault((anywhere, verdict.confidence), []).append((verdict.culprit, result))
    for together in ended.values():
        culprit, trace = together[0][0], together[0][1].trace
        hooks = "; ".join(dict.fromkeys(hook_words(each) for each, _ in together))
        yield empty()
        yield title(f"Culprit of {listed(_name(result) for _, result in together)}")
        yield from culprit_rows(culprit, trace.verdict, find_mark(trace), hooks)


def _name(result: ProbeResult) -> str:
    return result.name if result.phase == "before" else f"{result.name} after the remedy"
