"""The path of one leg: hop by hop, with what each backend decided at each hook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tracer.document import Addresses, Hop, LegTrace
from tracer.report.decisions import INDENT, decision_rows
from tracer.report.rows import Part, Row, pointer, row
from tracer.report.view import View, elapsed, freed_words, translation


@dataclass(frozen=True)
class Step:
    """A hop beside what came before it: the addresses that it got, and the device named last in its namespace."""

    hop: Hop
    came: Addresses
    device: str | None

    @property
    def left(self) -> Addresses:
        """The addresses that the packet left the hop with."""
        return Addresses(self.hop.address_from, self.hop.address_to)


def leg_rows(leg: LegTrace, view: View) -> Iterator[Row]:
    """Yield the hops of a leg, under the name of each namespace that they pass."""
    for netns, inside in groupby(_steps(leg.hops), key=lambda step: step.hop.netns):
        yield row("  ", (netns, "bold"))
        for quiet, steps in groupby(inside, key=lambda step: _is_quiet(step, view)):
            if quiet:
                yield _quiet_row(list(steps), view)
            else:
                for step in steps:
                    yield from _step_rows(step, view)


def _steps(hops: Sequence[Hop]) -> Iterator[Step]:
    netns = device = None
    before = Addresses("", "")
    for hop in hops:
        left = Addresses(hop.address_from, hop.address_to)
        device = device if hop.netns == netns else None
        # A hop without addresses, or after none with them, says nothing of a change.
        came = before if before.address_from and left.address_from else left
        yield Step(hop, hop.translated_from or came, device)
        before = left if left.address_from else before
        netns, device = hop.netns, hop.device or device


def _is_quiet(step: Step, view: View) -> bool:
    """Tell whether the packet only passed, so that the hop needs no line of its own."""
    hop = step.hop
    return not (hop.decisions or hop.detail or hop.place == "freed" or step.came != step.left or _ended_at(hop, view))


def _ended_at(hop: Hop, view: View) -> bool:
    """Tell whether the packet ended at this hop, by no rule that could bear the mark."""
    return view.mark is not None and hop is view.mark.hop and view.mark.decision is None


def _quiet_row(steps: Sequence[Step], view: View) -> Row:
    return Row(_lead(steps[0].hop, view), (", ".join(map(_place, steps)),))


def _step_rows(step: Step, view: View) -> Iterator[Row]:
    hop, ended = step.hop, _ended_at(step.hop, view)
    yield Row(_lead(hop, view, marked=ended), ((_place(step) + _event(hop), "bold red" if ended else ""),))
    if step.came != step.left:
        yield row((f"{'':{INDENT}}NAT     ", "yellow"), translation(step.came, step.left))
    yield from decision_rows(hop.decisions, view, in_full=view.mark is not None or step.came != step.left)


def _lead(hop: Hop, view: View, *, marked: bool = False) -> tuple[Part, ...]:
    time = elapsed(hop.at_ns - view.started_ns)
    before = max(INDENT - len(time) - 2, 2)
    return (pointer(before) if marked else " " * before, "bold red"), (f"{time}  ", "dim")


def _place(step: Step) -> str:
    hop = step.hop
    if hop.place in ("ingress", "egress"):
        return f"{hop.place} {hop.device}"
    return f"{hop.place} ({hop.device})" if hop.device and hop.device != step.device else hop.place


def _event(hop: Hop) -> str:
    """Return what a socket, or the freeing of the packet, says of itself."""
    if hop.place == "freed":
        return f" by {freed_words(hop.detail)}"
    return f": {hop.detail}" if hop.detail else ""
