"""Sort one hook's decisions into traversals: one base chain each, with what it decided in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.document import Decision
from tracer.netfilter.ruleset import Backend, Family

ENDS = ("accept", "drop", "queue", "stolen")
"""The verdicts that end a base chain (include/uapi/linux/netfilter.h)."""


@dataclass(frozen=True)
class Traversal:
    """The decisions of one base chain, in order.

    `chains` leads from the base chain to the chain of the last decision.
    """

    decisions: tuple[Decision, ...]
    chains: tuple[str, ...]

    @property
    def last(self) -> Decision:
        """The decision that ended it, if any did."""
        return self.decisions[-1]

    @property
    def backend(self) -> Backend:
        """The backend that the base chain belongs to."""
        return self.last.backend

    @property
    def table(self) -> str:
        """The table, in the words of its backend."""
        return table_words(self.backend, self.last.family, self.last.table)


def traversals(decisions: Sequence[Decision]) -> tuple[Traversal, ...]:
    """Return the traversals of one hook, in order.

    A decision opens one when it is of another table than the decision before, or that one ended its base chain.
    """
    groups: list[list[Decision]] = []
    for decision in decisions:
        if not groups or _opens(groups[-1][-1], decision):
            groups.append([])
        groups[-1].append(decision)
    return tuple(Traversal(tuple(group), chain_path(group)) for group in groups)


def _opens(before: Decision, decision: Decision) -> bool:
    return before.verdict in ENDS or _table(before) != _table(decision)


def _table(decision: Decision) -> tuple[str, str, str]:
    return decision.backend, decision.family, decision.table


def chain_path(decisions: Sequence[Decision]) -> tuple[str, ...]:
    """Return the chains from the base chain to the last decision's: no chain can be its own ancestor."""
    path: list[str] = []
    for decision in decisions:
        if decision.chain in path:
            del path[path.index(decision.chain) + 1 :]
        else:
            path.append(decision.chain)
    return tuple(path)


def is_policy(decision: Decision) -> bool:
    """Tell whether a decision is a base chain's policy, which is no rule."""
    return decision.position is None and decision.handle is None and decision.verdict in ENDS


def is_routine(traversal: Traversal) -> bool:
    """Tell whether nothing happened: the base chain's policy accepted what no rule had an opinion on."""
    return is_policy(traversal.last) and traversal.last.verdict == "accept"


def table_words(backend: Backend, family: Family, table: str) -> str:
    """Return a native table as nft names it (`inet fw`), another by its name alone: addresses tell its family."""
    return f"{family} {table}" if backend == "nftables" else table


def rule_words(position: int | None, handle: int | None) -> str:
    """Return `rule 3`, `handle 17` where the position is not known, and nothing without both."""
    if position is not None:
        return f"rule {position}"
    return f"handle {handle}" if handle is not None else ""
