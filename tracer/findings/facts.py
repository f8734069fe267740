"""The facts of one trace that findings ask for, by name."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tracer.document import Culprit, RulesetSummary, Verdict
from tracer.events import Leg
from tracer.evidence import Evidence
from tracer.freed import reason_word
from tracer.netfilter.owners import known_owners

Facts: TypeAlias = Mapping[str, str]

_YES = "yes"


def gather(evidence: Evidence, verdict: Verdict, rulesets: Sequence[RulesetSummary]) -> Facts:
    """Return what is known of the culprit and around it; a fact that does not hold is an empty text."""
    culprit = verdict.culprit
    if culprit is None:
        return {"outcome": verdict.outcome}
    return {
        "outcome": verdict.outcome,
        "leg": verdict.leg,
        "source": evidence.flow.source.endpoint,
        "destination": evidence.flow.destination.endpoint,
        **_of_culprit(culprit),
        **_of_other_backends(culprit, evidence, rulesets),
    }


def _of_culprit(culprit: Culprit) -> dict[str, str]:
    facts = {name: str(getattr(culprit, name) or "") for name in culprit.__struct_fields__}
    facts["owner"] = "" if facts["owner"] == "unknown" else facts["owner"]
    facts["reason"] = reason_word(culprit.reason) if culprit.reason else ""
    facts["function"] = facts["function"].partition("+")[0]
    facts["program"] = _program(culprit)
    facts["signs"] = _signs(facts["owner"])
    return facts


def _program(culprit: Culprit) -> str:
    """Return the program of the culprit's backend and family (iptables-legacy(8), iptables-nft(8)), or nft."""
    if culprit.backend not in ("iptables-legacy", "iptables-nft"):
        return "nft"
    return culprit.backend.replace("iptables", "ip6tables") if culprit.family == "ip6" else culprit.backend


def _signs(owner: str) -> str:
    """Return grep's options for the lines of iptables-save that an owner wrote."""
    known = known_owners().get(owner)
    return " ".join(f"-e {shlex.quote(sign)}" for sign in (*known.chains, *known.comments)) if known else ""


def _of_other_backends(culprit: Culprit, evidence: Evidence, rulesets: Sequence[RulesetSummary]) -> dict[str, str]:
    own = [each for each in rulesets if each.netns == culprit.netns and each.backend == culprit.backend]
    others = [each for each in rulesets if each.netns == culprit.netns and each.backend != culprit.backend]
    shared = [each for each in others if culprit.owner in each.owners and culprit.owner != "unknown"]
    accepting = [
        decision.backend
        for hop in evidence.hops(_leg_of(culprit, evidence))
        for decision in hop.decisions
        if (hop.netns, hop.place, decision.verdict) == (culprit.netns, culprit.hook, "accept")
        and decision.backend != culprit.backend
    ]
    return {
        "owner_elsewhere": shared[0].backend if shared else "",
        "rules_here": str(sum(each.rules for each in own if culprit.owner in each.owners)),
        "rules_elsewhere": str(sum(each.rules for each in shared)),
        "accepted_by": accepting[0] if accepting else "",
        "other_backend": _YES if others else "",
    }


def _leg_of(culprit: Culprit, evidence: Evidence) -> Leg:
    for trace in evidence.legs:
        for hop in trace.hops:
            if any((d.chain, d.rule) == (culprit.chain, culprit.rule) for d in hop.decisions):
                return trace.leg
    return "request"
