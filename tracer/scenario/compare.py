"""Compare what a probe showed with what the scenario says it must show."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tracer.document import Culprit, Verdict
from tracer.scenario.model import Expectation, ExpectedCulprit, label


def differences(expected: Expectation, verdict: Verdict) -> list[str]:
    """Return in what the verdict differs, one sentence each; an empty list when it is as expected.

    What the expectation leaves out may be anything, but for a culprit, which what was delivered cannot have.
    """
    return list(_differences(expected, verdict))


def _differences(expected: Expectation, verdict: Verdict) -> Iterator[str]:
    if verdict.outcome != expected.outcome:
        yield _sentence("outcome", expected.outcome, verdict.outcome)
    if expected.leg is not None and verdict.leg != expected.leg:
        yield _sentence("leg", expected.leg, verdict.leg)
    if expected.confidence is not None and verdict.confidence != expected.confidence:
        yield _sentence("confidence", expected.confidence, verdict.confidence)
    if expected.culprit is None:
        if expected.outcome == "delivered" and verdict.culprit is not None:
            yield _sentence("culprit", None, verdict.culprit.kind)
    elif verdict.culprit is None:
        yield _sentence("culprit", expected.culprit.kind, None)
    else:
        yield from _culprit(expected.culprit, verdict.culprit)


def _culprit(expected: ExpectedCulprit, culprit: Culprit) -> Iterator[str]:
    wanted = msgspec.structs.asdict(expected) | {"netns": label(expected.netns)}
    part = wanted.pop("rule_contains")
    for key, value in wanted.items():
        actual = getattr(culprit, key)
        if value is not None and actual != value:
            yield _sentence(f"culprit's {key}", value, actual)
    if part is not None and part not in (culprit.rule or ""):
        yield f"the culprit's rule should contain {part!r}, and is {culprit.rule!r}"


def _sentence(what: str, expected: object, actual: object) -> str:
    return f"the {what} should be {expected!r}, and is {actual!r}"
