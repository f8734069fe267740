"""Probes before the remedy, the remedy, and the same probes after it."""

from __future__ import annotations

import msgspec
import pytest
from documents import HEALTHY, SPLIT
from scenario.minimal import MINIMAL

from tracer.errors import CannotTraceError
from tracer.scenario.model import Scenario
from tracer.scenario.run import REPLAY_SCHEMA, run_probes

LOST = {"outcome": "reply_lost", "culprit": {"kind": "rule", "backend": "iptables-legacy"}}


def scenario(*probes, remedy=True):
    """Return a scenario with these probes: each a name and what differs from a lost reply."""
    described = [
        {"name": name, "source": "web", "destination": "node", "expect": LOST, **other} for name, other in probes
    ]
    parts = {**MINIMAL, "probes": described}
    if not remedy:
        del parts["remedy"]
    return msgspec.convert(parts, Scenario)


class Lab:
    """What a lab would do: lose replies until the remedy is applied, and write down what it was asked for."""

    def __init__(self, before=SPLIT, after=HEALTHY):
        self.asked = []
        self._documents = {"before": before, "after": after}

    def run(self, probe, phase):
        self.asked.append((probe.name, phase))
        return self._documents[phase]

    def remedy(self):
        self.asked.append("remedy")


def replay(scenario, lab=None):
    lab = lab or Lab()
    return run_probes(scenario, lab.run, lab.remedy)


def test_every_probe_the_remedy_and_every_probe_again():
    lab = Lab()
    document = replay(scenario(("first", {}), ("second", {})), lab)
    assert lab.asked == [("first", "before"), ("second", "before"), "remedy", ("first", "after"), ("second", "after")]
    assert [(result.name, result.phase, result.trace) for result in document.probes] == [
        ("first", "before", SPLIT),
        ("second", "before", SPLIT),
        ("first", "after", HEALTHY),
        ("second", "after", HEALTHY),
    ]
    assert document.as_expected
    assert (document.scenario, document.title) == ("minimal", MINIMAL["title"])
    assert document.schema == REPLAY_SCHEMA == "tracer/replay/1"


def test_without_a_remedy_there_is_no_second_time():
    lab = Lab()
    document = replay(scenario(("only", {}), remedy=False), lab)
    assert lab.asked == [("only", "before")]
    assert document.as_expected


def test_each_phase_is_held_against_its_own_expectation():
    cured, still_lost = ("cured", {}), ("still-lost", {"expect_after": LOST})
    document = replay(scenario(cured, still_lost))
    assert [(result.name, result.phase) for result in document.probes if result.differences] == [
        ("still-lost", "after")
    ]
    assert not document.as_expected
    assert replay(scenario(cured, still_lost), Lab(after=SPLIT)).probes[2].differences == (
        "the outcome should be 'delivered', and is 'reply_lost'",
        "the culprit should be None, and is 'rule'",
    )


def test_a_probe_that_differs_does_not_keep_the_others_from_being_run():
    lab = Lab(before=HEALTHY)
    document = replay(scenario(("first", {}), ("second", {})), lab)
    assert len(lab.asked) == 5
    assert [bool(result.differences) for result in document.probes] == [True, True, False, False]


def test_a_probe_that_cannot_be_run_ends_the_replay():
    lab = Lab()

    def fail(probe, phase):
        raise CannotTraceError("no")

    with pytest.raises(CannotTraceError):
        run_probes(scenario(("first", {})), fail, lab.remedy)
    assert lab.asked == []
