"""What runs at each netfilter hook, as a table in the order of execution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderResult

from tracer.document import HookFunction
from tracer.report.rows import Row, empty, listed, row, title

_HEADINGS = ("", "priority", "function", "backend", "table", "chain")
_MEANING = (
    "Different backends at one priority: an accept of one does not spare the packet the other, a drop by either is "
    "final, and which runs first depends on which was registered last."
)


@dataclass(frozen=True)
class HooksReport:
    """The functions of all hooks as a rich renderable; they come sorted by namespace, family, hook and order."""

    functions: Sequence[HookFunction]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a table for each hook."""
        yield from hook_rows(self.functions)


def print_hooks(functions: Sequence[HookFunction], console: Console) -> None:
    """Print what runs at each hook."""
    console.print(HooksReport(functions))


def hook_rows(functions: Sequence[HookFunction]) -> Iterator[Row]:
    """Yield a table for each namespace, family and hook, and where different backends share a priority."""
    if not functions:
        yield row("", "Nothing is registered at any netfilter hook.")
        return
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *map(_cells, functions), strict=True)]
    is_shared = False
    for place, group in groupby(functions, key=lambda each: (each.netns, each.family, each.hook)):
        here = list(group)
        yield title(", ".join(place))
        yield row("", (_line(_HEADINGS, widths), "dim"))
        for function in here:
            yield row("", (_line(_cells(function), widths), "" if function.backend else "dim"))
        for words in _shared(here):
            is_shared = True
            yield row("  ! ", (words, "bold yellow"))
        yield empty()
    if is_shared:
        yield row("! ", _MEANING)


def _cells(function: HookFunction) -> tuple[str, ...]:
    names = (function.function, function.backend, function.table, function.chain)
    return str(function.order), str(function.priority), *(name or "" for name in names)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = (f"{cell:>{width}}" for cell, width in zip(cells[:2], widths, strict=False))
    names = (f"{cell:<{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True))
    return "  ".join(("", *numbers, *names)).rstrip()


def _shared(functions: Sequence[HookFunction]) -> Iterator[str]:
    """Yield a sentence for each order in which different backends run at the same priority."""
    orders: dict[tuple[str, ...], list[int]] = {}
    for priority in dict.fromkeys(function.priority for function in functions):
        backends = [each.backend for each in functions if each.priority == priority and each.backend]
        order: tuple[str, ...] = tuple(dict.fromkeys(backends))
        if len(order) > 1:
            orders.setdefault(order, []).append(priority)
    for order, priorities in orders.items():
        yield f"{' runs before '.join(order)} at priority {listed(map(str, priorities))}"
