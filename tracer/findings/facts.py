"""The facts around a culprit that findings ask for, by name."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tracer.document import Culprit, RulesetSummary
from tracer.freed import reason_word
from tracer.netfilter.owners import known_owners
from tracer.netfilter.ruleset import Family

Facts: TypeAlias = Mapping[str, str]


def gather(culprit: Culprit, rulesets: Sequence[RulesetSummary]) -> Facts:
    """Return what is known of the culprit and around it; a fact that does not hold is an empty text."""
    return {**_of_culprit(culprit), **_of_other_backends(culprit, rulesets)}


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


def _sees_the_same(family: Family, other: Family | None) -> bool:
    """Tell whether tables of two families are asked about the same packets: inet's about those of both."""
    return family == other or "inet" in (family, other)


def _of_other_backends(culprit: Culprit, rulesets: Sequence[RulesetSummary]) -> dict[str, str]:
    asked = [each for each in rulesets if each.netns == culprit.netns and _sees_the_same(each.family, culprit.family)]
    owned = [each for each in asked if culprit.owner in each.owners]
    here = [each for each in owned if each.backend == culprit.backend]
    elsewhere = [each for each in owned if each.backend != culprit.backend and culprit.owner != "unknown"]
    return {
        "owner_elsewhere": elsewhere[0].backend if elsewhere else "",
        "rules_here": str(sum(each.rules for each in here)),
        "rules_elsewhere": str(sum(each.rules for each in elsewhere)),
    }
