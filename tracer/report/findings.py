"""The findings: what is wrong beyond this packet, by what evidence, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from tracer.document import Finding
from tracer.report.charset import Charset
from tracer.report.rows import row, title, verbatim
from tracer.report.view import SEVERITY_STYLES

_COMMAND = "$ "


def finding_block(finding: Finding, charset: Charset) -> Iterator[RenderableType]:
    """Yield one finding; a command of the remedy stays on one line, however long, to be copied."""
    shown = charset.shown
    yield Text()
    yield row(
        Text.assemble((finding.severity.upper(), SEVERITY_STYLES[finding.severity]), "  "),
        (shown(finding.title), "bold"),
        (f"  [{shown(finding.id)}]", "dim"),
    )
    for evidence in finding.evidence:
        yield row("  - ", shown(evidence))
    if finding.remedy:
        yield title("  Remedy")
    for line in finding.remedy:
        is_command = line.startswith(_COMMAND)
        yield verbatim("      ", shown(line.removeprefix(_COMMAND))) if is_command else row("  - ", shown(line))
