"""From what was seen to what it means: live and recorded events go through here alike."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.document import Capture, Flow, HookFunction, Host, RulesetSummary, TraceDocument
from tracer.events import Event
from tracer.evidence import Evidence
from tracer.findings.find import find
from tracer.journey import build_legs
from tracer.verdict import judge


def conclude(
    flow: Flow,
    host: Host,
    capture: Capture,
    hooks: Sequence[HookFunction],
    rulesets: Sequence[RulesetSummary],
    events: Sequence[Event],
) -> TraceDocument:
    """Return the trace document that follows from these events."""
    in_time_order = tuple(sorted(events, key=lambda event: event.at_ns))
    legs = build_legs(in_time_order, hooks)
    evidence = Evidence(flow, legs, in_time_order, tuple(hooks), capture.lost)
    verdict = judge(evidence)
    return TraceDocument(
        flow=flow,
        host=host,
        capture=capture,
        hooks=tuple(hooks),
        rulesets=tuple(rulesets),
        events=in_time_order,
        legs=legs,
        verdict=verdict,
        findings=find(verdict, rulesets),
    )
