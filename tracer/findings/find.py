"""Match what is known (findings.yaml) with the facts of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from tracer.document import Finding, RulesetSummary, Verdict
from tracer.findings.facts import Facts, gather

_KNOWN = Path(__file__).with_name("findings.yaml")


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cause: it applies when every fact in `when` is one of the values given; texts name facts in braces.

    The value `any` stands for every text but the empty one.
    """

    id: str
    severity: str
    title: str
    when: dict[str, list[str]]
    evidence: list[str]
    remedy: list[str]


@cache
def known() -> tuple[Known, ...]:
    """Return everything in findings.yaml."""
    return tuple(msgspec.yaml.decode(_KNOWN.read_bytes(), type=list[Known]))


def find(verdict: Verdict, rulesets: Sequence[RulesetSummary]) -> tuple[Finding, ...]:
    """Return the findings that apply, those that come first in findings.yaml first; none for a delivered probe."""
    if verdict.culprit is None:
        return ()
    facts = gather(verdict.culprit, rulesets)
    return tuple(_finding(each, facts) for each in known() if _applies(each, facts))


def _applies(each: Known, facts: Facts) -> bool:
    values = ((facts.get(name, ""), wanted) for name, wanted in each.when.items())
    return all(value in wanted or (value != "" and "any" in wanted) for value, wanted in values)


def _finding(each: Known, facts: Facts) -> Finding:
    def fill(texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(text.format_map(facts) for text in texts)

    return msgspec.convert(
        {
            "id": each.id,
            "severity": each.severity,
            "title": each.title.format_map(facts),
            "evidence": fill(each.evidence),
            "remedy": fill(each.remedy),
        },
        Finding,
    )
