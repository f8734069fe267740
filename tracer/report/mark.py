"""Find the place on the path where the packet ended, which a report marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.document import Culprit, Decision, Hop, LegTrace, TraceDocument


@dataclass(frozen=True)
class Mark:
    """The hop at which the packet ended, the decision that ended it, and where the kernel then freed it.

    `decision` and `freed` are None where there is none, or none was seen. A kernel function's drop has both in one:
    `hop` is then the freeing itself.
    """

    leg: LegTrace
    hop: Hop
    decision: Decision | None
    freed: Hop | None


def find_mark(document: TraceDocument) -> Mark | None:
    """Return where the culprit stands on the path; none when delivered, or when the leg was not seen."""
    culprit = document.verdict.culprit
    leg = next((leg for leg in document.legs if leg.leg == document.verdict.leg and leg.hops), None)
    if culprit is None or leg is None:
        return None
    at_hook = [hop for hop in leg.hops if (hop.netns, hop.place) == (culprit.netns, culprit.hook)]
    for hop in reversed(at_hook):
        for decision in reversed(hop.decisions):
            if _is_by(culprit, decision):
                return Mark(leg, hop, decision, _freed_after(leg.hops, hop))
    freed = _freed_by(leg.hops, culprit)
    inferred_at = at_hook[-1] if at_hook and document.verdict.confidence == "inferred" else None
    return Mark(leg, inferred_at or freed or leg.hops[-1], None, freed)


def _is_by(culprit: Culprit, decision: Decision) -> bool:
    keys = ("backend", "family", "table", "chain", "position", "handle", "rule", "verdict")
    return culprit.kind != "kernel" and all(getattr(culprit, key) == getattr(decision, key) for key in keys)


def _freed_after(hops: Sequence[Hop], hop: Hop) -> Hop | None:
    return next((later for later in hops[hops.index(hop) :] if later.place == "freed"), None)


def _freed_by(hops: Sequence[Hop], culprit: Culprit) -> Hop | None:
    """Return the freeing that the culprit names, or else the last one: more copies than one may have been freed."""
    freed = [hop for hop in hops if hop.place == "freed"]
    named = [hop for hop in freed if hop.detail == f"{culprit.function} {culprit.reason or ''}".strip()]
    return next(reversed(named or freed), None)
