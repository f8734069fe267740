"""Run a scenario in its lab, on this machine's kernel."""

from __future__ import annotations

from collections.abc import Callable

from tracer.document import TraceDocument
from tracer.packet import IpFamily
from tracer.preparation import Preparation
from tracer.scenario.lab import Lab, build
from tracer.scenario.load import LoadedScenario
from tracer.scenario.model import Probe
from tracer.scenario.run import Phase, ReplayDocument, run_probes
from tracer.tracing import TraceRequest, trace_flow

_FAMILIES: dict[str, IpFamily] = {"ipv4": 4, "ipv6": 6}


def replay_live(
    loaded: LoadedScenario, preparation: Preparation, timeout_s: float, tell: Callable[[str], None]
) -> ReplayDocument:
    """Build the lab, run the probes, apply the remedy and run them again; the lab is gone when this returns."""
    tell(f"building the lab of {loaded.scenario.name}")
    with build(loaded) as lab:

        def run(probe: Probe, phase: Phase) -> TraceDocument:
            where = f"{probe.name}, {phase} the remedy" if loaded.scenario.remedy else probe.name
            return trace_flow(_request(lab, probe, timeout_s), preparation, lambda step: tell(f"{where}: {step}"))

        return run_probes(loaded.scenario, run, lab.apply_remedy)


def _request(lab: Lab, probe: Probe, timeout_s: float) -> TraceRequest:
    return TraceRequest(
        source=lab.endpoint(probe.source),
        destination=lab.endpoint(probe.destination),
        node=lab.node,
        protocol=probe.protocol,
        port=probe.port,
        family=_FAMILIES[probe.family],
        timeout_s=timeout_s,
        known=tuple(lab.netnses.values()),
    )
