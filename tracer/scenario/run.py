"""Run a scenario's probes, live in its lab or from its recording, before the remedy and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from tracer.document import TraceDocument
from tracer.scenario.compare import differences
from tracer.scenario.model import Probe, Scenario

REPLAY_SCHEMA = "tracer/replay/1"

Phase = Literal["before", "after"]
Run = Callable[[Probe, Phase], TraceDocument]


class ProbeResult(msgspec.Struct, frozen=True):
    """One probe in one phase: before the remedy or after it; `differences` is empty when all is as expected."""

    name: str
    phase: Phase
    differences: tuple[str, ...]
    trace: TraceDocument


class ReplayDocument(msgspec.Struct, frozen=True):
    """What a replay showed; a scenario's recording is such a document."""

    scenario: str
    title: str
    probes: tuple[ProbeResult, ...]
    schema: str = REPLAY_SCHEMA

    @property
    def as_expected(self) -> bool:
        """Tell whether every probe did what the scenario says."""
        return not any(result.differences for result in self.probes)


def run_probes(scenario: Scenario, run: Run, apply_remedy: Callable[[], None]) -> ReplayDocument:
    """Run every probe, apply the remedy, run every probe again; without a remedy there is no second time."""
    return ReplayDocument(scenario.name, scenario.title, tuple(_results(scenario, run, apply_remedy)))


def _results(scenario: Scenario, run: Run, apply_remedy: Callable[[], None]) -> Iterator[ProbeResult]:
    for probe in scenario.probes:
        document = run(probe, "before")
        yield ProbeResult(probe.name, "before", tuple(differences(probe.expect, document.verdict)), document)
    if not scenario.remedy:
        return
    apply_remedy()
    for probe in scenario.probes:
        document = run(probe, "after")
        yield ProbeResult(probe.name, "after", tuple(differences(probe.expect_after, document.verdict)), document)
