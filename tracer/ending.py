"""How a leg ended that did not arrive: by a rule, by elimination, by the kernel, or in silence.

What was seen is `observed`; what only follows from what was not seen is `inferred`, and says from what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.document import Culprit, Decision, HookFunction, Hop
from tracer.elimination import Gap, find_gap, is_behind, suspects
from tracer.events import FreedEvent, Leg
from tracer.evidence import Evidence, last_device, last_hook
from tracer.freed import end_of, function_name, is_by_netfilter, is_by_queue, reason_word
from tracer.netfilter.ruleset import Family
from tracer.wording import order_clause, rule_words


@dataclass(frozen=True)
class Ending:
    """What became of a leg's packet: `words` go on from `the request from A to B`; `order` is a sentence, or nothing.

    `arrived` tells that it came to its destination, and was not answered or not taken there.
    """

    words: str
    culprit: Culprit
    basis: str = ""
    order: str = ""
    arrived: bool = False


def find_ending(evidence: Evidence, leg: Leg) -> Ending:
    """Return how a leg ended, by the best evidence that there is."""
    dropped = next(evidence.decisions(leg, "drop"), None)
    if dropped:
        return _dropped(evidence, *dropped)
    freed = end_of(evidence.events, leg)
    queued = _queued(evidence, leg)
    if queued and (freed is None or is_by_queue(freed)):
        return _taken(*queued, freed)
    if freed is None:
        return _silent(evidence, leg)
    return _eliminated(evidence, leg, freed) if is_by_netfilter(freed) else _freed(evidence, leg, freed)


def rule_culprit(hop: Hop, decision: Decision) -> Culprit:
    """Return the culprit that a decision makes."""
    is_policy = decision.position is None and decision.handle is None
    return Culprit(
        kind="policy" if is_policy else "rule",
        netns=hop.netns,
        hook=hop.place,
        device=hop.device,
        backend=decision.backend,
        family=decision.family,
        table=decision.table,
        chain=decision.chain,
        position=decision.position,
        handle=decision.handle,
        rule=decision.rule,
        verdict=decision.verdict,
        owner=decision.owner,
    )


def _dropped(evidence: Evidence, hop: Hop, decision: Decision) -> Ending:
    culprit = rule_culprit(hop, decision)
    words = f"was dropped in {hop.netns} at {hop.place} {rule_words(culprit)}"
    return Ending(words, culprit, order=order_clause(culprit, hop, evidence.hooks))


def _queued(evidence: Evidence, leg: Leg) -> tuple[Hop, Decision] | None:
    """Return the decision that took the packet away, unless the packet was seen behind it."""
    found = next(evidence.decisions(leg, "queue", "stolen"), None)
    if found is None:
        return None
    hop, decision = found
    seen = [one for one in evidence.hops(leg) if one.place != "freed"]
    return None if seen[-1] != hop or is_behind(evidence, leg, hop, decision) else found


def _taken(hop: Hop, decision: Decision, freed: FreedEvent | None) -> Ending:
    culprit = rule_culprit(hop, decision)
    place = f"in {hop.netns} at {hop.place} {rule_words(culprit)}"
    if decision.verdict == "stolen":
        return Ending(f"was taken out of the path {place}", culprit)
    if freed is None:
        return Ending(f"waits in a queue for a program's verdict, put there {place}", culprit)
    return Ending(f"was put into a queue {place}; no program took it from there, or one dropped it", culprit)


def _eliminated(evidence: Evidence, leg: Leg, freed: FreedEvent) -> Ending:
    """Judge a drop in netfilter that no rule accounts for, by where it must have been."""
    gap = find_gap(freed, evidence.events, evidence.hooks)
    if gap is None:
        return _outside(evidence, leg, freed)
    left = suspects(gap, freed, evidence.hops(leg))
    names = [*map(_function_words, left), *_behind(gap)]
    only = left[0] if len(names) == len(left) == 1 else None
    culprit = Culprit(
        "kernel",
        gap.netns,
        hook=gap.hook,
        device=last_device(evidence.hops(leg), gap.netns),
        backend=only.backend if only else None,
        family=_table_family(only) if only else None,
        table=only.table if only else None,
        chain=only.chain if only else None,
        function=only.function if only else freed.function,
        reason=freed.reason or None,
    )
    return Ending(f"was dropped in {gap.netns} at {gap.hook} {_suspicion(names)}", culprit, _basis(gap))


def _table_family(entry: HookFunction) -> Family | None:
    """Return the family of iptables' tables; nftables' own may be of the hook's family or of both, `inet`."""
    if entry.backend not in ("iptables-legacy", "iptables-nft"):
        return None
    return "ip" if entry.family == "ipv4" else "ip6"


def _outside(evidence: Evidence, leg: Leg, freed: FreedEvent) -> Ending:
    """Judge a drop in a netfilter hook that has no links of ours."""
    last = next((hop for hop in reversed(evidence.hops(leg)) if hop.place != "freed"), None)
    where = "in a netfilter hook that is not watched"
    if last and (last.netns, last.place) == (freed.netns, "ingress"):
        where = f"between the ingress of {last.device} and PREROUTING, where chains of ingress hooks stand"
    basis = f"{function_name(freed)} freed it, and no rule reported a drop"
    return Ending(f"was dropped in {freed.netns} {where}", _kernel(evidence, leg, freed), basis)


def _behind(gap: Gap) -> list[str]:
    """Return what else may have dropped a packet that passed all of our links."""
    return ["a chain of an egress hook"] if gap.hook == "POSTROUTING" and gap.below is None else []


def _suspicion(names: Sequence[str]) -> str:
    if not names:
        return "by something that tracer does not know of"
    if len(names) == 1:
        return f"by {names[0]}: all else there let it pass, and no rule said that it dropped it"
    return f"by one of these, none of which said so: {', '.join(names)}"


def _function_words(entry: HookFunction) -> str:
    return f"{entry.backend}, table {entry.table}, chain {entry.chain}" if entry.backend else entry.function


def _basis(gap: Gap) -> str:
    until = f"before priority {gap.below}" if gap.below is not None else "before the hook's end"
    return f"it passed priority {gap.above} of {gap.hook} and was freed {until}; no rule reported a drop"


def _freed(evidence: Evidence, leg: Leg, freed: FreedEvent) -> Ending:
    what = f"{function_name(freed)} ({reason_word(freed.reason)})"
    hook = last_hook(evidence.hops(leg))
    if hook and (hook.netns, hook.place) == (freed.netns, "INPUT"):
        words = f"arrived in {freed.netns}, passed all filters there, and was not taken: {what}"
        return Ending(words, _kernel(evidence, leg, freed), arrived=True)
    words = f"was dropped in {freed.netns} by the kernel, not by a rule: {what}"
    return Ending(words, _kernel(evidence, leg, freed))


def _kernel(evidence: Evidence, leg: Leg, freed: FreedEvent) -> Culprit:
    hops = evidence.hops(leg)
    hook = last_hook(hops)
    return Culprit(
        "kernel",
        freed.netns,
        hook=hook.place if hook and hook.netns == freed.netns else None,
        device=last_device(hops, freed.netns),
        function=freed.function,
        reason=freed.reason or None,
    )


def _silent(evidence: Evidence, leg: Leg) -> Ending:
    """Judge a packet that stopped showing: it arrived, left what we watch, or waits somewhere."""
    hops = tuple(hop for hop in evidence.hops(leg) if hop.place != "freed")  # copies: the packet's own end is not known
    last = hops[-1] if hops else None
    destination = evidence.flow.destination
    if last is None:
        return Ending("was not seen at all", Culprit("kernel", ""), "no event speaks of it")
    hook = last_hook(hops)
    if leg == "request" and hook and hook.place == "INPUT":
        words = f"arrived in {hook.netns}, and nothing answered"
        return _silence(hook, words, "it passed INPUT there, was not dropped, and no answer was sent", arrived=True)
    if leg == "request" and not destination.netns and last.place == "egress":
        words = f"left {last.netns} by {last.device}, and no answer came"
        return _silence(last, words, "nothing behind that device is watched", arrived=True)
    if last.place == "POSTROUTING":
        words = f"was to leave {last.netns} by {last.device}, and did not in that time"
        return _silence(last, words, "it waits there, as it does while the next hop does not answer ARP or ND")
    where = f"in {last.netns} at {last.place} {last.device or ''}".rstrip()
    return _silence(last, f"was last seen {where}, and nothing said where it went", "its freeing was not seen")


def _silence(last: Hop, words: str, basis: str, *, arrived: bool = False) -> Ending:
    hook = last.place if last.place not in ("socket", "ingress", "egress", "freed") else None
    culprit = Culprit("kernel", last.netns, hook=hook, device=last.device)
    return Ending(words, culprit, basis, arrived=arrived)
