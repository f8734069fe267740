"""The words of a verdict's sentence, the same wherever it is read."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.document import Culprit, HookFunction, Hop
from tracer.packet import ICMP, ICMPV6, TCP, Header

# RFC 792 and RFC 1812 (5.2.7.1), RFC 4443 and IANA's registry of ICMPv6 codes.
_ICMP_ERRORS = {
    (ICMP, 3, 0): "ICMP network unreachable",
    (ICMP, 3, 1): "ICMP host unreachable",
    (ICMP, 3, 2): "ICMP protocol unreachable",
    (ICMP, 3, 3): "ICMP port unreachable",
    (ICMP, 3, 4): "ICMP fragmentation needed",
    (ICMP, 3, 9): "ICMP network administratively prohibited",
    (ICMP, 3, 10): "ICMP host administratively prohibited",
    (ICMP, 3, 13): "ICMP communication administratively prohibited",
    (ICMP, 11, 0): "ICMP time exceeded",
    (ICMP, 12, 0): "ICMP parameter problem",
    (ICMPV6, 1, 0): "ICMPv6 no route",
    (ICMPV6, 1, 1): "ICMPv6 administratively prohibited",
    (ICMPV6, 1, 3): "ICMPv6 address unreachable",
    (ICMPV6, 1, 4): "ICMPv6 port unreachable",
    (ICMPV6, 1, 5): "ICMPv6 source address failed policy",
    (ICMPV6, 1, 6): "ICMPv6 reject route",
    (ICMPV6, 2, 0): "ICMPv6 packet too big",
    (ICMPV6, 3, 0): "ICMPv6 hop limit exceeded",
}


def refusal_words(header: Header) -> str:
    """Return what an answer that is no reply says: `a TCP reset`, `ICMP port unreachable`."""
    if header.protocol == TCP:
        return "a TCP reset"
    unknown = f"{'ICMPv6' if header.protocol == ICMPV6 else 'ICMP'} type {header.icmp_type} code {header.icmp_code}"
    return _ICMP_ERRORS.get((header.protocol, header.icmp_type or 0, header.icmp_code or 0), unknown)


def rule_words(culprit: Culprit) -> str:
    """Return `by iptables-legacy, table filter, chain INPUT, rule 3: -A INPUT … -j DROP`."""
    place = f"by {culprit.backend}, table {culprit.table}, chain {culprit.chain}"
    if culprit.kind == "policy":
        return f"{place}, by the chain's policy: {culprit.rule}"
    number = f"rule {culprit.position}" if culprit.position is not None else f"handle {culprit.handle}"
    return f"{place}, {number}: {culprit.rule}"


def order_clause(culprit: Culprit, hop: Hop, hooks: Sequence[HookFunction]) -> str:
    """Return a sentence on which backend runs first where the packet ended; nothing where only one stands there."""
    order = _backends_in_order(culprit, hop, hooks)
    if len(order) < 2 or culprit.backend not in order:
        return ""
    number = order.index(culprit.backend)
    before, after = order[:number], order[number + 1 :]
    if before:
        agreed = [backend for backend in before if _accepted(hop, backend)]
        clause = f" {' and '.join(before)} ran first at this hook"
        return f"{clause} and accepted it." if agreed == before else f"{clause}."
    return f" {culprit.backend} ran first at this priority: {' and '.join(after)} did not see the packet there."


def _accepted(hop: Hop, backend: str) -> bool:
    verdicts = [decision.verdict for decision in hop.decisions if decision.backend == backend]
    return bool(verdicts) and verdicts[-1] == "accept"


def _backends_in_order(culprit: Culprit, hop: Hop, hooks: Sequence[HookFunction]) -> list[str]:
    """Return the backends at the culprit's hook that share its base chain's priority, in the order they run."""
    family = "ipv6" if culprit.family == "ip6" or hop.address_from.count(":") > 1 else "ipv4"
    here = [
        entry for entry in hooks if (entry.netns, entry.hook, entry.family) == (culprit.netns, culprit.hook, family)
    ]
    own = [e.priority for e in here if (e.backend, e.table) == (culprit.backend, culprit.table)]
    order = [e.backend for e in here if e.backend is not None and e.priority in own]
    return list(dict.fromkeys(order))
