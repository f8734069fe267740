"""The scenarios that come with tracer, live: as expected, and as their recordings have it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tracer import resources
from tracer.scenario.load import available
from tracer.scenario.recording import FILE

CHECKOUT = Path(__file__).parents[2]
OF_THE_KERNEL = ("function", "reason")  # names and offsets differ from kernel to kernel


def meaning(result):
    """Return what a probe showed that is the same on every kernel and in every run."""
    verdict = result["trace"]["verdict"]
    culprit = verdict["culprit"] and {
        key: value for key, value in verdict["culprit"].items() if key not in OF_THE_KERNEL
    }
    findings = [finding["id"] for finding in result["trace"]["findings"]]
    return result["name"], result["phase"], verdict["outcome"], verdict["leg"], culprit, findings


@pytest.mark.parametrize("name", available())
def test_a_scenario_shows_live_what_its_recording_shows(name):
    command = [sys.executable, "-m", "tracer", "replay", name, "--json", "-"]
    run = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    live = json.loads(run.stdout)["probes"]
    recorded = json.loads((resources.folder("scenarios") / name / FILE).read_bytes())["probes"]
    assert [result["differences"] for result in live] == [[]] * len(live)
    assert list(map(meaning, live)) == list(map(meaning, recorded))
    for result in live:
        assert result["trace"]["capture"]["lost"] == 0
        assert all(change["restored"] for change in result["trace"]["capture"]["changes"])
