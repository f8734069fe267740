"""Narrow down who dropped a packet where nobody said so: what could have run between two places it was seen at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tracer.capture.priorities import OUR_FUNCTION, link_priorities
from tracer.document import Decision, HookFunction, Hop
from tracer.events import Event, FreedEvent, HookEvent, Leg
from tracer.evidence import Evidence
from tracer.netfilter.hooks import is_nft_chain

_BaseChain: TypeAlias = tuple[str, str, str]  # backend, table, chain


@dataclass(frozen=True)
class Gap:
    """The part of a hook in which a packet ended: after our link at `above`, before the one at `below`, if any."""

    netns: str
    hook: str
    above: int
    below: int | None
    functions: tuple[HookFunction, ...]


def find_gap(freed: FreedEvent, events: Sequence[Event], hooks: Sequence[HookFunction]) -> Gap | None:
    """Return the gap in which netfilter dropped the packet, from the last of our links that it passed."""
    passed = [
        event
        for event in events
        if isinstance(event, HookEvent) and (event.leg, event.netns, event.skb) == (freed.leg, freed.netns, freed.skb)
    ]
    if not passed:
        return None
    last = max(passed, key=lambda event: event.at_ns)
    family = "ipv6" if freed.packet[:1] and freed.packet[0] >> 4 == 6 else "ipv4"
    here = [entry for entry in hooks if (entry.netns, entry.family, entry.hook) == (last.netns, family, last.hook)]
    below = next((priority for priority in link_priorities(here) if priority > last.priority), None)
    inside = tuple(e for e in here if e.priority >= last.priority and (below is None or e.priority < below))
    return Gap(last.netns, last.hook, last.priority, below, inside)


def suspects(gap: Gap, freed: FreedEvent, hops: Sequence[Hop]) -> tuple[HookFunction, ...]:
    """Return the functions of a gap that did not report that they let the packet pass.

    Where nf_tables frees what it drops, no other function comes into question. BPF links do so only if nothing else
    does: there are other traces' links far more often than filters made of them.
    """
    decisions = [
        decision for hop in hops if (hop.netns, hop.place) == (gap.netns, gap.hook) for decision in hop.decisions
    ]
    cleared = set(_accepting(decisions, gap.functions))
    left = [entry for entry in gap.functions if (entry.backend, entry.table, entry.chain) not in cleared]
    if is_nft_chain(freed.function):
        left = [entry for entry in left if is_nft_chain(entry.function)]
    return tuple([entry for entry in left if entry.function != OUR_FUNCTION] or left)


def _accepting(decisions: Iterable[Decision], functions: Sequence[HookFunction]) -> Iterator[_BaseChain]:
    """Yield the base chains that let the packet pass: only an accept says so, in them or in what they called."""
    bases = {(entry.backend, entry.table, entry.chain) for entry in functions}
    entered: dict[tuple[str, str], _BaseChain] = {}
    for each in decisions:
        table = each.backend, each.table
        if (*table, each.chain) in bases:
            entered[table] = (*table, each.chain)
        if each.verdict == "accept" and table in entered:
            yield entered[table]


def is_behind(evidence: Evidence, leg: Leg, hop: Hop, decision: Decision) -> bool:
    """Tell whether the packet was seen at its hook behind the base chain that a decision belongs to."""
    chains = [
        entry.priority
        for entry in evidence.hooks
        if (entry.netns, entry.hook, entry.backend, entry.table)
        == (hop.netns, hop.place, decision.backend, decision.table)
    ]
    passed = [
        event.priority
        for event in evidence.events
        if isinstance(event, HookEvent) and (event.leg, event.netns, event.hook) == (leg, hop.netns, hop.place)
    ]
    return bool(chains and passed) and max(passed) > max(chains)
