"""A scenario's recording: the same probes on recorded events, without root, BPF or a lab."""

from __future__ import annotations

from pathlib import Path

from tracer.conclude import conclude
from tracer.document import TraceDocument
from tracer.document_file import read_struct
from tracer.errors import UsageError
from tracer.scenario.load import LoadedScenario
from tracer.scenario.model import Probe
from tracer.scenario.run import Phase, ReplayDocument, run_probes

FILE = "recording.json"


def replay_recorded(loaded: LoadedScenario) -> ReplayDocument:
    """Judge the recorded events anew; raise UsageError when there is no recording, or one of another scenario."""
    recorded = read_recording(loaded.folder)
    if recorded.scenario != loaded.scenario.name:
        raise UsageError(
            f"{loaded.folder / FILE} is a recording of {recorded.scenario}, not of {loaded.scenario.name}",
            _record_again(loaded.folder),
        )
    traces = {(result.name, result.phase): result.trace for result in recorded.probes}

    def run(probe: Probe, phase: Phase) -> TraceDocument:
        trace = traces.get((probe.name, phase))
        if trace is None:
            raise UsageError(
                f"the recording of {loaded.scenario.name} has no probe {probe.name} {phase} the remedy",
                _record_again(loaded.folder),
            )
        return conclude(trace.flow, trace.host, trace.capture, trace.hooks, trace.rulesets, trace.events)

    return run_probes(loaded.scenario, run, lambda: None)


def read_recording(folder: Path) -> ReplayDocument:
    """Read the recording of the scenario in `folder`; raise UsageError when there is none."""
    path = folder / FILE
    if not path.is_file():
        raise UsageError(f"{folder} has no recording ({FILE})", _record_again(folder))
    return read_struct(str(path), ReplayDocument, "tracer/replay")


def _record_again(folder: Path) -> str:
    return f"Record the scenario, as root: tracer replay {folder} --json {folder / FILE}"
