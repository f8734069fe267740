"""Say where the packet ended, by whose decision, and how sure that is.

Pure: reads the journey, the events behind it and the hooks' order; the same data give the same verdict.
"""

from __future__ import annotations

from tracer.document import Confidence, Culprit, Hop, Outcome, Verdict
from tracer.ending import Ending, find_ending, rule_culprit
from tracer.events import Leg, SocketEvent
from tracer.evidence import Evidence
from tracer.freed import end_of, function_name, reason_word
from tracer.packet import ICMP_ERRORS, TCP, TCP_RST, endpoint_text, parse_packet
from tracer.wording import order_clause, refusal_words, rule_words


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict on one probe."""
    answer = evidence.socket_event("received")
    refused = evidence.socket_event("refused")
    if answer is not None:
        return _rejected(evidence, answer.packet, arrived=True) if is_refusal(answer.packet) else _delivered(evidence)
    if refused is not None and not _was_seen(evidence.hops("request")):
        return _not_sent(evidence, refused)
    if evidence.hops("reply"):
        first = evidence.first_packet("reply")
        return _rejected(evidence, first, arrived=False) if is_refusal(first) else _lost(evidence, "reply")
    return _lost(evidence, "request")


def is_refusal(packet: bytes) -> bool:
    """Tell whether an answer is an ICMP error or a TCP reset."""
    header = parse_packet(packet)
    if header is None:
        return False
    if header.protocol == TCP:
        return bool((header.tcp_flags or 0) & TCP_RST)
    return header.icmp_type in ICMP_ERRORS.get(header.protocol, ())


def _was_seen(hops: tuple[Hop, ...]) -> bool:
    return any(hop.place != "socket" for hop in hops)


def _delivered(evidence: Evidence) -> Verdict:
    flow = evidence.flow
    # From the kernel's own times: the answer's socket was read later than the answer came.
    times = [hop.at_ns for hop in (*evidence.hops("request"), *evidence.hops("reply")) if hop.place != "socket"]
    took = f", {(max(times) - min(times)) / 1e6:.2f} ms in all" if times else ""
    route = evidence.route("request")
    summary = f"Delivered: the {flow.protocol} probe went from {route} and its reply came back{took}."
    return Verdict("delivered", "reply", summary, "observed", None)


def _not_sent(evidence: Evidence, refused: SocketEvent) -> Verdict:
    netns = evidence.flow.source.netns
    culprit = Culprit("kernel", netns, device=evidence.flow.source.device, function="sendto", reason=refused.error)
    summary = f"Not sent: the kernel refused the probe from {evidence.route('request')} in {netns}: {refused.error}."
    return Verdict("not_sent", "request", summary, "observed", culprit)


def _rejected(evidence: Evidence, answer: bytes, *, arrived: bool) -> Verdict:
    culprit, cause = _rejector(evidence, answer)
    text = f"Rejected: the request from {evidence.route('request')} was answered with {_answer_words(answer)}{cause}"
    if not arrived:
        text += f" The sender did not hear of it: that answer {find_ending(evidence, 'reply').words}."
    return Verdict("rejected", "request", text, "observed", culprit)


def _rejector(evidence: Evidence, answer: bytes) -> tuple[Culprit, str]:
    """Return who rejected the request, and how the sentence on it ends."""
    dropped = next(evidence.decisions("request", "drop"), None)
    if dropped:
        culprit = rule_culprit(*dropped)
        place = f"in {culprit.netns} at {culprit.hook}"
        return culprit, f", {place} {rule_words(culprit)}.{order_clause(culprit, dropped[0], evidence.hooks)}"
    freed = end_of(evidence.events, "request")
    if freed:
        culprit = Culprit("kernel", freed.netns, function=freed.function, reason=freed.reason or None)
        return culprit, f", in {freed.netns} by the kernel: {function_name(freed)} ({reason_word(freed.reason)})."
    where = next((hop.netns for hop in evidence.hops("reply")), evidence.flow.destination.netns)
    return Culprit("kernel", where, reason=f"answered with {_answer_words(answer)}"), "."


def _answer_words(answer: bytes) -> str:
    """Return `ICMP port unreachable by 10.0.0.1`."""
    header = parse_packet(answer)
    if header is None:
        return "an error"
    return f"{refusal_words(header)} by {endpoint_text(header.source, header.source_port)}"


def _lost(evidence: Evidence, leg: Leg) -> Verdict:
    ending = find_ending(evidence, leg)
    outcome: Outcome = _outcome(leg, ending)
    confidence: Confidence = "inferred" if ending.basis else "observed"
    title = outcome.replace("_", " ").capitalize()
    text = f"{title}: the {leg} from {evidence.route(leg)} {ending.words}.{ending.order}"
    return Verdict(outcome, leg, text, confidence, ending.culprit, _basis(ending, evidence.lost))


def _basis(ending: Ending, lost: int) -> str:
    """Return what an inferred ending rests on; what was lost on the way to us might have told more."""
    return f"{ending.basis}; events lost: {lost}" if ending.basis and lost else ending.basis


def _outcome(leg: Leg, ending: Ending) -> Outcome:
    if leg == "reply":
        return "reply_lost"
    return "no_reply" if ending.arrived else "request_lost"
