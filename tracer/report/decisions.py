"""What each backend decided at one hook, a line for each base chain that had something to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from tracer.document import Decision
from tracer.report.rows import Part, Row, pointer, row
from tracer.report.traversal import Traversal, chain_path, is_policy, is_routine, rule_words, traversals
from tracer.report.view import VERDICT_STYLES, View

INDENT = 14  # columns up to the verdict: what a hop's time takes
_WORD = 8  # columns of the verdict itself
_SHOWN_CHAINS = 4  # of a path of chains; what is left out stands in the middle


def decision_rows(decisions: Sequence[Decision], view: View, *, in_full: bool) -> Iterator[Row]:
    """Yield what was decided at one hook, in order; `in_full` with the text of the rules that decided."""
    here = traversals(decisions)
    if view.all_rules:
        for traversal in here:
            yield _decided([traversal], traversal.chains, view)
            yield from _every_rule(traversal)
        return
    for routine, group in groupby(here, key=is_routine):
        if routine:
            yield Row(_lead("accept"), (("by policy: ", "dim"), _tables(list(group))))
        else:
            for _, agreeing in groupby(group, key=_what_was_decided):
                yield from _decided_rows(list(agreeing), view, in_full=in_full)


def _tables(routine: Sequence[Traversal]) -> str:
    """Return `raw, mangle (iptables-nft, iptables-legacy)`: in order, tables with the same backends together."""
    by_table = [
        (table, tuple(each.backend for each in group)) for table, group in groupby(routine, key=lambda each: each.table)
    ]
    return "; ".join(
        f"{', '.join(table for table, _ in group)} ({', '.join(backends)})"
        for backends, group in groupby(by_table, key=lambda entry: entry[1])
    )


def _what_was_decided(traversal: Traversal) -> tuple[object, ...]:
    """Return what two backends have in common that hold the same rules and decide alike."""
    last = traversal.last
    return traversal.table, traversal.chains, last.position, last.rule, last.verdict, last.owner


def _decided_rows(agreeing: Sequence[Traversal], view: View, *, in_full: bool) -> Iterator[Row]:
    last = agreeing[-1].last
    if not in_full and last.verdict == "accept":
        yield _decided(agreeing, agreeing[-1].chains[-1:], view)
        return
    marked = _is_marked(agreeing, view)
    yield _decided(agreeing, agreeing[-1].chains if marked else _abbreviated(agreeing[-1].chains), view)
    if last.rule and not is_policy(last):
        yield row(" " * (INDENT + 2), (last.rule, "bold red" if marked else ""))


def _is_marked(agreeing: Sequence[Traversal], view: View) -> bool:
    return any(view.mark is not None and each.last is view.mark.decision for each in agreeing)


def _decided(agreeing: Sequence[Traversal], path: Sequence[str], view: View) -> Row:
    last = agreeing[-1].last
    marked = _is_marked(agreeing, view)
    backends = " and ".join(each.backend for each in agreeing)
    words = f"{backends} {agreeing[-1].table}: {' > '.join(path)}, {_decider(last)}"
    owner = f"  [{last.owner}]" if last.owner != "unknown" else ""
    return Row(
        _lead(last.verdict, pointer(INDENT) if marked else ""), ((words, "bold red" if marked else ""), (owner, "dim"))
    )


def _lead(verdict: str, before: str = "") -> tuple[Part, ...]:
    style = VERDICT_STYLES.get(verdict, "yellow")
    return (f"{before:<{INDENT}}", "bold red"), (f"{verdict:<{_WORD}}", style)


def _decider(decision: Decision) -> str:
    if is_policy(decision):
        return "by policy"
    return rule_words(decision.position, decision.handle) or "at its end"


def _abbreviated(chains: Sequence[str]) -> Sequence[str]:
    left_out = len(chains) - _SHOWN_CHAINS
    if left_out < 2:
        return chains
    return (*chains[:2], f"({left_out} more)", *chains[-2:])


def _every_rule(traversal: Traversal) -> Iterator[Row]:
    """Yield each decision on a line, as deep as its chain."""
    for number, decision in enumerate(traversal.decisions, 1):
        depth = len(chain_path(traversal.decisions[:number]))
        position = f"{decision.position}  " if decision.position is not None else ""
        text = decision.rule or f"{decision.verdict}: {decision.chain}, {_decider(decision)}"
        yield row(f"{'':{INDENT + 2 * depth}}{position}", text)
