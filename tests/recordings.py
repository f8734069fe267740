"""What real kernels showed: the scenarios' recordings, and those of tests/outcomes, which are scenarios too.

After a change of what is captured, record them again, as root: tracer replay FOLDER --json FOLDER/recording.json
After a change of what is made of it, without root: tracer replay FOLDER --recorded --json FOLDER/recording.json
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tracer import resources
from tracer.conclude import conclude
from tracer.document import TraceDocument
from tracer.scenario.load import FILE
from tracer.scenario.recording import read_recording
from tracer.scenario.run import ReplayDocument

OUTCOMES = Path(__file__).parent / "outcomes"
FOLDERS = sorted(path.parent for top in (resources.folder("scenarios"), OUTCOMES) for path in top.glob(f"*/{FILE}"))


@cache
def recording(folder: Path) -> ReplayDocument:
    return read_recording(folder)


def traces() -> dict[str, TraceDocument]:
    """Return every recorded trace by `SCENARIO/PROBE/PHASE`."""
    return {
        f"{folder.name}/{result.name}/{result.phase}": result.trace
        for folder in FOLDERS
        for result in recording(folder).probes
    }


def again(trace: TraceDocument, **changed: object) -> TraceDocument:
    """Return what follows from a recorded trace's events, or from others."""
    parts = {name: getattr(trace, name) for name in ("flow", "host", "capture", "hooks", "rulesets", "events")}
    return conclude(**{**parts, **changed})
