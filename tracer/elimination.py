"""Narrow down who dropped a packet where nobody said so: what could have run between two places it was seen at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.capture.priorities import link_priorities
from tracer.document import HookFunction, Hop
from tracer.events import Event, FreedEvent, HookEvent

_LET_PASS = ("accept", "return", "continue")


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


def suspects(gap: Gap, hops: Sequence[Hop]) -> tuple[HookFunction, ...]:
    """Return the functions of a gap that did not report that they let the packet pass."""
    decisions = [
        decision for hop in hops if (hop.netns, hop.place) == (gap.netns, gap.hook) for decision in hop.decisions
    ]
    cleared = {(each.backend, each.table, each.chain) for each in decisions if each.verdict in _LET_PASS}
    by_table = {(each.backend, each.table) for each in decisions if each.verdict == "accept"}
    return tuple(
        entry
        for entry in gap.functions
        if (entry.backend, entry.table, entry.chain) not in cleared and (entry.backend, entry.table) not in by_table
    )
