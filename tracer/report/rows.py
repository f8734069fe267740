"""Lines with a hanging indent, which is how a report keeps long rules readable at any width."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_NARROWEST = 20  # columns that a body gets on however small a terminal

Part = str | tuple[str, str]
"""Text that is safe to show, alone or with its style."""


@dataclass(frozen=True)
class Row:
    """A lead and a body; lines after the first are indented as far as the lead goes. Nothing is ever cut."""

    lead: Text
    body: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines, wrapped to the width."""
        width = max(options.max_width - self.lead.cell_len, _NARROWEST)
        lines = self.body.wrap(console, width, overflow="fold")
        indent = Text(" " * self.lead.cell_len)
        for number, line in enumerate(lines or [Text()]):
            line.rstrip()
            yield Text.assemble(self.lead if number == 0 else indent, line, no_wrap=True, overflow="ignore")


def row(lead: str | Text, *parts: Part) -> Row:
    """Return a row of safe text."""
    return Row(Text(lead) if isinstance(lead, str) else lead, Text.assemble(*parts))


def verbatim(indent: str, text: str) -> Text:
    """Return safe text that is left on one line however long, so that it can be copied as a command."""
    return Text(indent + text, no_wrap=True, overflow="ignore")


def title(text: str) -> Row:
    """Return the heading of a block, of safe text."""
    return row("", (text, "bold"))


def listed(words: Iterable[str]) -> str:
    """Return `a, b and c`."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
