"""Say where the packet ended, by whose decision, and how sure that is.

Pure: reads the journey, the events behind it and the hooks' order; the same data give the same verdict. What was
seen is `observed`; what only follows from what was not seen is `inferred`, and says from what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.document import Culprit, Decision, Flow, HookFunction, Hop, LegTrace, Outcome, Verdict
from tracer.elimination import Gap, find_gap, suspects
from tracer.events import Event, FreedEvent, Leg, SocketEvent
from tracer.netfilter.ruleset import HOOKS
from tracer.packet import ICMP_ERRORS, TCP, TCP_RST, endpoint_text, parse_packet
from tracer.wording import order_clause, rule_words

_NOT_AN_END = ("OTHERHOST",)  # a bridge's flood drops its other copies so; the packet itself goes on


@dataclass(frozen=True)
class Evidence:
    """All that a verdict is made from."""

    flow: Flow
    legs: tuple[LegTrace, ...]
    events: tuple[Event, ...]
    hooks: tuple[HookFunction, ...]

    def hops(self, leg: Leg) -> tuple[Hop, ...]:
        """Return the hops of a leg, none if it was not seen."""
        return next((trace.hops for trace in self.legs if trace.leg == leg), ())


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict on one probe."""
    answer = _socket_event(evidence, "received")
    refused = _socket_event(evidence, "refused")
    if answer is not None:
        return _rejected(evidence, answer.packet) if is_refusal(answer.packet) else _delivered(evidence)
    if refused is not None and not _was_seen(evidence.hops("request")):
        return _not_sent(evidence, refused)
    if evidence.hops("reply"):
        if is_refusal(_first_packet(evidence, "reply")):
            return _rejected(evidence, _first_packet(evidence, "reply"))
        return _lost(evidence, "reply")
    return _lost(evidence, "request")


def is_refusal(packet: bytes) -> bool:
    """Tell whether an answer is an ICMP error or a TCP reset."""
    header = parse_packet(packet)
    if header is None:
        return False
    if header.protocol == TCP:
        return bool((header.tcp_flags or 0) & TCP_RST)
    return header.icmp_type in ICMP_ERRORS.get(header.protocol, ())


def last_freed(events: Sequence[Event], leg: Leg) -> FreedEvent | None:
    """Return the event that ended a leg's packet, if it was seen."""
    freed = [event for event in events if isinstance(event, FreedEvent) and event.leg == leg]
    ends = [event for event in freed if not event.reason.endswith(_NOT_AN_END)]
    return max(ends, key=lambda event: event.at_ns, default=None)


def _socket_event(evidence: Evidence, action: str) -> SocketEvent | None:
    events = (event for event in evidence.events if isinstance(event, SocketEvent) and event.action == action)
    return next(events, None)


def _was_seen(hops: Sequence[Hop]) -> bool:
    return any(hop.place != "socket" for hop in hops)


def _first_packet(evidence: Evidence, leg: Leg) -> bytes:
    packets = [event for event in evidence.events if event.leg == leg and event.packet]
    return min(packets, key=lambda event: event.at_ns).packet if packets else b""


def _route(flow: Flow, leg: Leg) -> str:
    ends = (flow.source.endpoint, flow.destination.endpoint)
    return "{} to {}".format(*(ends if leg == "request" else reversed(ends)))


def _delivered(evidence: Evidence) -> Verdict:
    flow = evidence.flow
    # From the kernel's own times: the answer's socket was read later than the answer came.
    times = [hop.at_ns for hop in (*evidence.hops("request"), *evidence.hops("reply")) if hop.place != "socket"]
    took = f", {(max(times) - min(times)) / 1e6:.2f} ms in all" if times else ""
    summary = f"Delivered: the {flow.protocol} probe went from {_route(flow, 'request')} and its reply came back{took}."
    return Verdict("delivered", "reply", summary, "observed", None)


def _not_sent(evidence: Evidence, refused: SocketEvent) -> Verdict:
    netns = evidence.flow.source.netns
    culprit = Culprit("kernel", netns, device=evidence.flow.source.device, function="sendto", reason=refused.error)
    summary = (
        f"Not sent: the kernel refused the probe from {_route(evidence.flow, 'request')} in {netns}: {refused.error}."
    )
    return Verdict("not_sent", "request", summary, "observed", culprit)


def _rejected(evidence: Evidence, answer: bytes) -> Verdict:
    header = parse_packet(answer)
    by = endpoint_text(header.source, header.source_port) if header else "somebody"
    what = "a TCP reset" if header and header.protocol == TCP else "an ICMP error"
    where = next((hop.netns for hop in evidence.hops("reply")), evidence.flow.destination.netns)
    dropped = _dropping(evidence, "request")
    freed = last_freed(evidence.events, "request")
    opening = f"Rejected: the request from {_route(evidence.flow, 'request')} was answered with {what} by {by}"
    if dropped:
        culprit = _rule_culprit(*dropped)
        text = f"{opening}, {rule_words(culprit)}.{order_clause(culprit, dropped[0], evidence.hooks)}"
        return Verdict("rejected", "request", text, "observed", culprit)
    if freed:
        culprit = Culprit("kernel", freed.netns, function=freed.function, reason=freed.reason or None)
        text = f"{opening}: {freed.function} in {freed.netns} dropped the request ({reason_word(freed.reason)})."
        return Verdict("rejected", "request", text, "observed", culprit)
    culprit = Culprit("kernel", where, reason=f"answered with {what} by {by}")
    return Verdict("rejected", "request", f"{opening}.", "observed", culprit)


def reason_word(reason: str) -> str:
    """Return a drop reason without the kernel's prefix, and a word for none."""
    return reason.removeprefix("SKB_DROP_REASON_") or "no reason given"


def _lost(evidence: Evidence, leg: Leg) -> Verdict:
    dropped = _dropping(evidence, leg)
    freed = last_freed(evidence.events, leg)
    if dropped:
        hop, _ = dropped
        culprit = _rule_culprit(*dropped)
        text = f"{_opening(evidence, leg)} was dropped in {hop.netns} at {hop.place} {rule_words(culprit)}."
        return Verdict(_outcome(leg), leg, text + order_clause(culprit, hop, evidence.hooks), "observed", culprit)
    if freed:
        return _freed(evidence, leg, freed)
    return _vanished(evidence, leg)


def _outcome(leg: Leg) -> Outcome:
    return "request_lost" if leg == "request" else "reply_lost"


def _opening(evidence: Evidence, leg: Leg) -> str:
    return f"{leg.capitalize()} lost: the {leg} from {_route(evidence.flow, leg)}"


def _dropping(evidence: Evidence, leg: Leg) -> tuple[Hop, Decision] | None:
    return _deciding(evidence, leg, ("drop",))


def _deciding(evidence: Evidence, leg: Leg, verdicts: tuple[str, ...]) -> tuple[Hop, Decision] | None:
    for hop in reversed(evidence.hops(leg)):
        for decision in reversed(hop.decisions):
            if decision.verdict.partition(" ")[0] in verdicts:
                return hop, decision
    return None


def _rule_culprit(hop: Hop, decision: Decision) -> Culprit:
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


def _freed(evidence: Evidence, leg: Leg, freed: FreedEvent) -> Verdict:
    """Judge a freeing that no rule accounts for: by elimination inside netfilter, else by the kernel's own word."""
    gap = find_gap(freed, evidence.events, evidence.hooks) if freed.function.startswith("nf_hook_slow") else None
    if gap is not None:
        return _eliminated(evidence, leg, freed, gap)
    word = reason_word(freed.reason)
    culprit = Culprit(
        "kernel",
        freed.netns,
        hook=_last_hook(evidence.hops(leg)),
        device=_last_device(evidence.hops(leg)),
        function=freed.function,
        reason=freed.reason or None,
    )
    cause = f"by the kernel, not by a rule: {freed.function} ({word})"
    text = f"{_opening(evidence, leg)} was dropped in {freed.netns} {cause}."
    return Verdict(_outcome(leg), leg, text, "observed", culprit)


def _eliminated(evidence: Evidence, leg: Leg, freed: FreedEvent, gap: Gap) -> Verdict:
    left = suspects(gap, evidence.hops(leg))
    until = f"before priority {gap.below}" if gap.below is not None else "before the hook's end"
    basis = f"it passed priority {gap.above} of {gap.hook} and was freed {until}; no rule reported a drop"
    only = left[0] if len(left) == 1 else None
    culprit = Culprit(
        "kernel",
        gap.netns,
        hook=gap.hook,
        device=_last_device(evidence.hops(leg)),
        backend=only.backend if only else None,
        table=only.table if only else None,
        chain=only.chain if only else None,
        function=only.function if only else freed.function,
        reason=freed.reason or None,
    )
    names = ", ".join(_function_words(entry) for entry in left) or "nothing that we know of"
    verb = "the one function there" if only else "what runs there"
    text = (
        f"{_opening(evidence, leg)} was dropped in {gap.netns} at {gap.hook}; {verb} that did not let it pass: {names}."
    )
    return Verdict(_outcome(leg), leg, text, "inferred", culprit, basis)


def _function_words(entry: HookFunction) -> str:
    return f"{entry.backend} table {entry.table}" if entry.backend else entry.function


def _last_hook(hops: Sequence[Hop]) -> str | None:
    places = [hop.place for hop in hops if hop.place in HOOKS]
    return places[-1] if places else None


def _last_device(hops: Sequence[Hop]) -> str | None:
    devices = [hop.device for hop in hops if hop.device]
    return devices[-1] if devices else None


def _vanished(evidence: Evidence, leg: Leg) -> Verdict:
    """Judge a packet that stopped showing: it waits somewhere, arrived unanswered, or left what we watch."""
    hops = evidence.hops(leg)
    seized = _deciding(evidence, leg, ("queue", "stolen"))
    if seized:
        culprit = _rule_culprit(*seized)
        where = f"in {culprit.netns} at {culprit.hook} {rule_words(culprit)}"
        text = f"{_opening(evidence, leg)} was taken out of the path {where}."
        return Verdict(_outcome(leg), leg, text, "observed", culprit)
    last = hops[-1] if hops else None
    destination = evidence.flow.destination
    if last and leg == "request" and last.place == "INPUT":
        text = f"No reply: the request from {_route(evidence.flow, leg)} arrived in {last.netns}, and nothing answered."
        return _silence(last, text, "it passed INPUT there, was not dropped, and no answer was sent", "no_reply", leg)
    if last and leg == "request" and not destination.netns and last.place == "egress":
        text = f"No reply: the request to {destination.address} left {last.netns} by {last.device}, and no answer came."
        return _silence(last, text, "nothing behind that device is watched", "no_reply", leg)
    where = f"in {last.netns} at {last.place} {last.device or ''}".rstrip() if last else "at its socket"
    text = f"{_opening(evidence, leg)} was last seen {where}; nothing said where it went."
    return _silence(last, text, "its freeing was not seen", _outcome(leg), leg)


def _silence(last: Hop | None, text: str, basis: str, outcome: Outcome, leg: Leg) -> Verdict:
    hook = last.place if last and last.place in HOOKS else None
    culprit = Culprit(
        "kernel", last.netns if last else "", hook=hook, device=last.device if last else None, reason=basis
    )
    return Verdict(outcome, leg, text, "inferred", culprit, basis)
