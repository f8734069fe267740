"""The recordings of the scenarios: complete, as expected, and replayed without root, BPF or bcc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from recordings import FOLDERS, recording

from tracer import resources
from tracer.document_file import json_bytes
from tracer.errors import UsageError
from tracer.scenario.load import available, load
from tracer.scenario.model import label
from tracer.scenario.recording import FILE, replay_recorded

ROOT = Path(__file__).parents[2]
NOBODY = 65534
EACH = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
SCENARIOS = [folder for folder in FOLDERS if folder.parent == resources.folder("scenarios")]


def test_every_scenario_that_comes_along_is_recorded():
    assert [folder.name for folder in SCENARIOS] == list(available())
    assert {"healthy", "calico-backend-split", "forward-policy-drop"} <= set(available())


@EACH
def test_it_shows_what_the_scenario_expects(folder):
    document = replay_recorded(load(folder))
    assert [(result.name, result.phase, result.differences) for result in document.probes if result.differences] == []
    assert document.as_expected


@EACH
def test_it_holds_every_probe_of_the_scenario_and_no_other(folder):
    scenario = load(folder).scenario
    phases = ["before", "after"] if scenario.remedy else ["before"]
    assert [(result.name, result.phase) for result in recording(folder).probes] == [
        (probe.name, phase) for phase in phases for probe in scenario.probes
    ]


@EACH
def test_its_probes_are_the_scenarios(folder):
    probes = {probe.name: probe for probe in load(folder).scenario.probes}
    names = {one.name for one in (*load(folder).scenario.nodes, *load(folder).scenario.pods)}
    for result in recording(folder).probes:
        probe, flow = probes[result.name], result.trace.flow
        destination = label(probe.destination) if probe.destination in names else probe.destination
        assert (flow.source.endpoint, flow.destination.endpoint) == (label(probe.source), destination)
        assert (flow.protocol, flow.destination.port) == (probe.protocol, probe.port)


@EACH
def test_it_replays_to_itself(folder):
    assert replay_recorded(load(folder)) == recording(folder)


@EACH
def test_nothing_was_lost_or_left_behind_when_it_was_made(folder):
    for result in recording(folder).probes:
        capture = result.trace.capture
        assert (capture.lost, capture.events) == (0, len(result.trace.events))
        assert all(change.restored for change in capture.changes)


class TestWithoutRoot:
    """As nobody, where importing bcc fails."""

    @pytest.fixture
    def environment(self, tmp_path):
        (tmp_path / "bcc.py").write_text("raise ImportError('bcc is not here')\n")
        return {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}

    @staticmethod
    def tracer(environment, *arguments):
        command = [sys.executable, "-m", "tracer", *arguments]
        if os.geteuid() == 0:
            # A checkout may lie where nobody else may look, so the right to read files is all that is kept.
            keep = "-all,+dac_override"
            identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            command = ["setpriv", *identity, f"--inh-caps={keep}", f"--ambient-caps={keep}", *command]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    @pytest.mark.parametrize("name", available())
    def test_it_is_replayed(self, environment, name):
        run = self.tracer(environment, "replay", name, "--recorded", "--json", "-")
        assert (run.returncode, run.stderr.count("Traceback")) == (0, 0), run.stderr
        shown = json.loads(run.stdout)
        assert all(not result["differences"] for result in shown["probes"])
        assert shown == json.loads((resources.folder("scenarios") / name / FILE).read_bytes())

    def test_live_it_is_not(self, environment):
        """So these tests are run without the rights and the module that a trace needs."""
        run = self.tracer(environment, "replay", "healthy")
        assert run.returncode == 3
        assert "root" in run.stderr


class TestBadRecordings:
    @pytest.fixture
    def folder(self, tmp_path):
        copied = tmp_path / "answers"
        shutil.copytree(next(folder for folder in FOLDERS if folder.name == "answers"), copied)
        return copied

    def refusal(self, folder):
        with pytest.raises(UsageError) as caught:
            replay_recorded(load(folder))
        return str(caught.value)

    def test_there_is_none(self, folder):
        (folder / FILE).unlink()
        assert f"{folder} has no recording ({FILE}). Record the scenario, as root: tracer replay" in self.refusal(
            folder
        )

    def test_it_is_cut_off(self, folder):
        data = (folder / FILE).read_bytes()
        (folder / FILE).write_bytes(data[: len(data) // 2])
        assert f"{folder / FILE} is cut off after {len(data) // 2} bytes" in self.refusal(folder)

    def test_it_is_of_another_scenario(self, folder):
        (folder / FILE).write_bytes(json_bytes(msgspec.structs.replace(recording_of(folder), scenario="other")))
        assert f"{folder / FILE} is a recording of other, not of answers" in self.refusal(folder)

    def test_it_lacks_a_probe(self, folder):
        document = recording_of(folder)
        shorter = msgspec.structs.replace(document, probes=document.probes[:-1])
        (folder / FILE).write_bytes(json_bytes(shorter))
        assert f"has no probe {document.probes[-1].name} before the remedy" in self.refusal(folder)

    def test_it_no_longer_shows_what_is_expected(self, folder):
        text = (folder / "scenario.yaml").read_text()
        assert "chain: GUARD" in text
        (folder / "scenario.yaml").write_text(text.replace("chain: GUARD", "chain: OTHER"))
        document = replay_recorded(load(folder))
        assert not document.as_expected
        differing = {result.name: result.differences for result in document.probes if result.differences}
        expected = ("the culprit's chain should be 'OTHER', and is 'GUARD'",)
        assert differing == {"rejected-by-legacy": expected, "queued-for-nobody": expected}


def recording_of(folder):
    return recording(next(one for one in FOLDERS if one.name == folder.name))
