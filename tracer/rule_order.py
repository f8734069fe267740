"""Put what the packet filters said at one hook into the order in which it happened."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.document import HookFunction
from tracer.events import RuleEvent


def in_order(rules: Sequence[RuleEvent], hooks: Sequence[HookFunction]) -> list[RuleEvent]:
    """Sort one hook's rule events by the true order of their tables and base chains.

    The two backends report on sockets of their own, so the time at which an event was read does not order them. A
    rule in a chain that is no base chain belongs to the base chain that its backend and table entered last.
    """
    is_ipv6 = any(rule.family == "ip6" or (rule.packet and rule.packet[0] >> 4 == 6) for rule in rules)
    here = [entry for entry in hooks if entry.family == ("ipv6" if is_ipv6 else "ipv4")]
    places: list[tuple[int, int]] = []
    current: dict[tuple[str, str], int] = {}
    for number, rule in enumerate(rules):
        key = rule.backend, rule.table
        base = _order_of_base_chain(rule, here)
        current[key] = base if base is not None else current.get(key, 0)
        places.append((current[key], number))
    return [rules[number] for _, number in sorted(places)]


def _order_of_base_chain(rule: RuleEvent, hooks: Sequence[HookFunction]) -> int | None:
    wanted = (rule.netns, rule.hook, rule.backend, rule.table, rule.chain)
    for entry in hooks:
        if (entry.netns, entry.hook, entry.backend, entry.table, entry.chain) == wanted:
            return entry.order
    return None
