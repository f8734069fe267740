"""What runs at each netfilter hook, as a table in the order of execution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tracer.document import HookFunction
from tracer.report.charset import Charset, charset_of
from tracer.report.rows import Row, listed, row, title

_COLUMNS = ("", "priority", "function", "backend", "table", "chain")


@dataclass(frozen=True)
class HooksReport:
    """The functions of all hooks as a rich renderable; they come sorted by namespace, family, hook and order."""

    functions: Sequence[HookFunction]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a table for each hook."""
        yield from hook_blocks(self.functions, charset_of(options))


def print_hooks(functions: Sequence[HookFunction], console: Console) -> None:
    """Print what runs at each hook."""
    console.print(HooksReport(functions))


def hook_blocks(functions: Sequence[HookFunction], charset: Charset) -> Iterator[RenderableType]:
    """Yield a table for each namespace, family and hook, with a warning where two backends share a priority."""
    if not functions:
        yield row("", "Nothing is registered at any netfilter hook.")
    for number, (place, group) in enumerate(groupby(functions, key=_place)):
        here = list(group)
        if number:
            yield Text()
        yield title(charset.shown(" ".join(place)))
        yield _table(here, charset)
        yield from _shared_rows(here)


def _place(function: HookFunction) -> tuple[str, str, str]:
    return function.netns, function.family, function.hook


def _table(functions: Sequence[HookFunction], charset: Charset) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 1), header_style="dim")
    for name in _COLUMNS:
        table.add_column(name, overflow="fold", justify="right" if name in ("", "priority") else "left")
    for function in functions:
        names = (function.function, function.backend, function.table, function.chain)
        style = "bold" if function.backend else "dim"
        cells = (str(function.order), str(function.priority), *(charset.shown(name or "") for name in names))
        table.add_row(*(Text(cell, style=style, overflow="fold") for cell in cells))
    return table


def _shared_rows(functions: Sequence[HookFunction]) -> Iterator[Row]:
    """Yield a sentence for each order in which different backends run at the same priority."""
    orders: dict[tuple[str, ...], list[int]] = {}
    for priority in dict.fromkeys(function.priority for function in functions):
        backends = [each.backend for each in functions if each.priority == priority and each.backend]
        order: tuple[str, ...] = tuple(dict.fromkeys(backends))
        if len(order) > 1:
            orders.setdefault(order, []).append(priority)
    for order, priorities in orders.items():
        shared = listed(map(str, priorities))
        words = f"priority {shared} is shared: {', then '.join(order)}"
        yield row("  ! ", (words, "bold yellow"), ". An accept of the one does not spare the packet the other.")
