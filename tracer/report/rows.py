"""Lines of untrusted text with a hanging indent, which keeps long rules readable at any width.

Everything that a report says goes through here: what the node's names and comments hold is escaped where it is
rendered, so that no block can forget it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from tracer.text import printable

Part: TypeAlias = "str | tuple[str, str]"
"""Text, alone or with its style."""

ARROW = "→"
_LEAST_BODY = 24  # columns; a lead that leaves fewer is wrapped with its body
_IN_ASCII = str.maketrans({ARROW: "->", "►": ">", "─": "-", "µ": "u"})


def safe(text: str, *, ascii_only: bool) -> str:
    """Return `text` with everything escaped that would act on a terminal, or that this one cannot show."""
    shown = printable(text)
    return shown.translate(_IN_ASCII).encode("ascii", "backslashreplace").decode() if ascii_only else shown


@dataclass(frozen=True)
class Row:
    """A lead and a body; the body's further lines are indented as far as the lead goes. Nothing is ever cut."""

    lead: tuple[Part, ...]
    body: tuple[Part, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines, wrapped to the width."""
        lead, body = _text(self.lead, options), _text(self.body, options)
        if lead.cell_len > options.max_width - _LEAST_BODY:
            lead, body = Text(), Text.assemble(lead, body)
        lines = body.wrap(console, options.max_width - lead.cell_len, overflow="fold") or [Text()]
        indent = Text(" " * lead.cell_len)
        for number, line in enumerate(lines):
            whole = Text.assemble(indent if number else lead, line, no_wrap=True, overflow="ignore")
            whole.rstrip()
            yield whole


@dataclass(frozen=True)
class Verbatim:
    """Text that stays on one line however long, to be copied as a command."""

    indent: str
    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the line."""
        yield Text(self.indent + safe(self.text, ascii_only=options.ascii_only), no_wrap=True, overflow="ignore")


def _text(parts: Iterable[Part], options: ConsoleOptions) -> Text:
    pairs = (part if isinstance(part, tuple) else (part, "") for part in parts)
    return Text.assemble(*((safe(text, ascii_only=options.ascii_only), style) for text, style in pairs))


def row(lead: Part, *body: Part) -> Row:
    """Return a row with a lead of one part."""
    return Row((lead,), body)


def title(text: str) -> Row:
    """Return the heading of a block."""
    return row("", (text, "bold"))


def empty() -> Row:
    """Return an empty line."""
    return row("", "")


def pointer(width: int) -> str:
    """Return a mark that is `width` columns wide, as `───────► `."""
    return f"{'─' * (width - 2)}► "


def listed(words: Iterable[str]) -> str:
    """Return `a, b and c`."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
