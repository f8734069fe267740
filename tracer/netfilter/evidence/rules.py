"""Turn what the traces say into rule events, with each rule's text and owner looked up in the rulesets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from tracer.events import RuleEvent
from tracer.netfilter.evidence.messages import LegacyEvidence, LegacyTraceMessage, NftEvidence, NftTraceMessage
from tracer.netfilter.ruleset import HOOKS, Backend, Family, Rule


class NftPlace(msgspec.Struct, frozen=True):
    """A chain of nf_tables: whose it is, its hook if it is a base chain, and the rule asked for, if it is there."""

    backend: Backend
    hook: str = ""
    rule: Rule | None = None


NftLookup: TypeAlias = Callable[[Family, str, str, int | None], NftPlace]
"""Family, table, chain, and a rule's handle if there is one → what is there."""


class ChainEnd(msgspec.Struct, frozen=True):
    """What stands behind a legacy chain's last rule: its policy in a base chain, else the return."""

    policy: str | None = None


LegacyLookup: TypeAlias = Callable[[Family, str, str, int], Rule | ChainEnd | None]
"""Family, table, chain, position → what is there, None when there is no chain by that name."""

# What a legacy rule's target returns to ip_tables (net/netfilter/xt_*.c, net/ipv4/netfilter/ipt_*.c).
_VERDICTS = {
    "accept": "ACCEPT DNAT MASQUERADE NETMAP REDIRECT SNAT",
    "drop": "DROP REJECT",
    "queue": "NFQUEUE QUEUE",
    "return": "RETURN",
    "continue": "AUDIT CHECKSUM CLASSIFY CONNMARK CONNSECMARK CT DSCP ECN HL HMARK IDLETIMER LED LOG MARK NFLOG "
    "NOTRACK RATEEST SECMARK SET TCPMSS TCPOPTSTRIP TEE TOS TRACE TTL",
}
_VERDICT_OF_TARGET = {target: verdict for verdict, targets in _VERDICTS.items() for target in targets.split()}
_VERDICT_OF_TARGET[""] = "continue"  # a rule that only counts

_SHOWN = 128  # bytes of the packet that an event carries


def nft_rule_events(netns: str, evidence: Sequence[NftEvidence], look_up: NftLookup) -> list[RuleEvent]:
    """Return what nf_tables said in the namespace labelled `netns` as events.

    A base chain's first message alone has the packet, and so begins what is said at its hook. Its end is not told
    apart from its policy, which follows at once.
    """
    events = []
    hooks: dict[int, str] = {}
    for seen, after in itertools.zip_longest(evidence, evidence[1:]):
        message = seen.message
        place = look_up(message.family, message.table, message.chain, message.handle)
        if message.packet:
            hooks[message.trace_id] = place.hook
        if after is None or not _is_end_before_policy(message, after.message):
            events.append(_nft_event(netns, seen, place, hooks.get(message.trace_id, "")))
    return events


def legacy_rule_events(netns: str, evidence: Iterable[LegacyEvidence], look_up: LegacyLookup) -> list[RuleEvent]:
    """Return what the legacy tables said in the namespace labelled `netns` as events.

    A TRACE does not tell the verdict: the rule's target does. It is `unknown` for a target that this module does
    not know, and for a rule that is no longer there.
    """
    return [_legacy_event(netns, seen, look_up) for seen in evidence]


def _is_end_before_policy(message: NftTraceMessage, following: NftTraceMessage) -> bool:
    same = (message.trace_id, message.table, message.chain) == (
        following.trace_id,
        following.table,
        following.chain,
    )
    return same and following.step == "policy" and message.step != "policy" and message.handle is None


def _nft_event(netns: str, seen: NftEvidence, place: NftPlace, hook: str) -> RuleEvent:
    message = seen.message
    event = RuleEvent(
        at_ns=message.at_ns,
        netns=netns,
        leg=seen.leg,
        backend=place.backend,
        family=message.family,
        hook=hook,
        table=message.table,
        chain=message.chain,
        step=message.step,
        verdict=message.verdict,
        handle=message.handle,
        packet=message.packet,
    )
    if message.step == "policy":
        return replace(event, rule=_policy(place.backend, message.chain, message.verdict))
    if message.handle is None:  # the chain's end, where nf_tables says `continue`
        return replace(event, step="return", verdict="return")
    return _with_rule(replace(event, step="rule"), place.rule)


def _legacy_event(netns: str, seen: LegacyEvidence, look_up: LegacyLookup) -> RuleEvent:
    message = seen.message
    event = RuleEvent(
        at_ns=message.at_ns,
        netns=netns,
        leg=seen.leg,
        backend="iptables-legacy",
        family=message.family,
        hook=HOOKS[message.hook],
        table=message.table,
        chain=message.chain,
        step=message.step,
        verdict="unknown",
        position=message.position,
        packet=message.packet[:_SHOWN],
    )
    # The kernel's word does not count here: it calls any rule without a match `return` or `policy`.
    found = look_up(message.family, message.table, message.chain, message.position)
    if isinstance(found, ChainEnd):
        return _end(found, event)
    if found is None:
        return event
    return _with_rule(replace(event, step="rule", verdict=_legacy_verdict(message, found, look_up)), found)


def _legacy_verdict(message: LegacyTraceMessage, rule: Rule, look_up: LegacyLookup) -> str:
    if rule.target in _VERDICT_OF_TARGET:
        return _VERDICT_OF_TARGET[rule.target]
    if look_up(message.family, message.table, rule.target, 1) is None:
        return "unknown"
    # iptables-save writes the target last, and nothing behind a chain's name.
    return f"goto {rule.target}" if rule.text.endswith(f"-g {rule.target}") else f"jump {rule.target}"


def _end(end: ChainEnd, event: RuleEvent) -> RuleEvent:
    if end.policy is None:
        return replace(event, step="return", verdict="return", position=None)
    verdict = end.policy.lower()
    rule = _policy("iptables-legacy", event.chain, verdict)
    return replace(event, step="policy", verdict=verdict, position=None, rule=rule)


def _with_rule(event: RuleEvent, rule: Rule | None) -> RuleEvent:
    if rule is None:
        return event
    return replace(event, position=rule.position, rule=rule.text, owner=rule.owner)


def _policy(backend: Backend, chain: str, verdict: str) -> str:
    return f"policy {verdict}" if backend == "nftables" else f"-P {chain} {verdict.upper()}"
