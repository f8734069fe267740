"""The findings: what is wrong beyond this packet, by what evidence, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from tracer.document import Finding
from tracer.report.rows import Row, Verbatim, empty, row, title
from tracer.report.view import SEVERITY_STYLES

_COMMAND = "$ "


def finding_block(finding: Finding) -> Iterator[RenderableType]:
    """Yield one finding; a command of the remedy stays on one line, however long, to be copied."""
    yield empty()
    severity = (finding.severity.upper(), SEVERITY_STYLES[finding.severity])
    yield Row((severity, "  "), ((finding.title, "bold"), (f"  [{finding.id}]", "dim")))
    for evidence in finding.evidence:
        yield row("  - ", evidence)
    if finding.remedy:
        yield title("  Remedy")
    for line in finding.remedy:
        is_command = line.startswith(_COMMAND)
        yield Verbatim("      ", line.removeprefix(_COMMAND)) if is_command else row("  - ", line)
