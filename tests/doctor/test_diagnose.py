"""From trials to a diagnosis, with trials of the test's own."""

from __future__ import annotations

import pytest

from tracer.doctor.diagnose import try_all
from tracer.doctor.model import Check, conclude
from tracer.doctor.trials import TRIALS, Trial
from tracer.document import Host
from tracer.errors import CannotTraceError

HOST = Host("node-1", "6.1.0", "0.1.0", "2026-01-01T00:00:00.000+00:00")


def found(_bench):
    return "found"


def refused(_bench):
    raise CannotTraceError("it is refused", "Allow it")


def diagnose(*trials, legacy=False):
    return conclude(HOST, tuple(try_all(trials, None, legacy=legacy)))


LINK = Trial("link", "netfilter", "one", found)
TCX = Trial("tcx", "veth", "one", found)


def test_what_was_found_is_kept():
    assert diagnose(Trial("root", "machine", "always", found)).checks == (
        Check("root", "machine", needed=True, state="ok", found="found"),
    )


def test_what_is_lacking_has_its_cause_and_way_out():
    assert diagnose(Trial("nft", "texts", "never", refused)).checks == (
        Check("nft", "texts", needed=False, state="lacking", found="it is refused", way_out="Allow it"),
    )


def test_what_needs_something_that_is_lacking_is_not_tried():
    def tried(_bench):
        pytest.fail("it was tried")

    diagnosis = diagnose(
        Trial("bcc", "bpf", "always", refused),
        Trial("BPF programs", "bpf", "always", tried, ("bcc",)),
        Trial("link", "netfilter", "one", tried, ("BPF programs",)),
    )
    assert [(check.state, check.found) for check in diagnosis.checks[1:]] == [
        ("unknown", "not tried without bcc"),
        ("unknown", "not tried without BPF programs"),
    ]
    assert not diagnosis.can_trace


def test_errors_that_nobody_expects_are_not_taken_for_findings():
    def broken(_bench):
        raise OSError("a bug")

    with pytest.raises(OSError, match="a bug"):
        diagnose(Trial("root", "machine", "always", broken))


def test_a_machine_with_one_means_of_each_can_trace():
    diagnosis = diagnose(LINK, TCX, Trial("nft", "texts", "never", refused))
    assert (diagnosis.can_trace, diagnosis.netfilter, diagnosis.veth) == (True, "link", "tcx")


def test_the_first_means_that_works_is_the_one():
    link = Trial("link", "netfilter", "one", refused)
    fexit, kprobe = (Trial(name, "netfilter", "one", found) for name in ("fexit", "kprobe"))
    diagnosis = diagnose(link, fexit, kprobe, TCX)
    assert (diagnosis.can_trace, diagnosis.netfilter) == (True, "fexit")


@pytest.mark.parametrize("trials", [(LINK,), (TCX,), (LINK, Trial("tcx", "veth", "one", refused)), ()])
def test_without_a_means_it_cannot_trace(trials):
    assert not diagnose(*trials).can_trace


def test_without_what_is_always_needed_it_cannot_trace():
    assert not diagnose(LINK, TCX, Trial("BTF", "machine", "always", refused)).can_trace


@pytest.mark.parametrize("legacy", [True, False])
def test_legacy_traces_are_needed_where_there_are_legacy_tables(legacy):
    diagnosis = diagnose(LINK, TCX, Trial("NFLOG", "rules", "with legacy tables", refused), legacy=legacy)
    assert diagnosis.checks[-1].needed == legacy
    assert diagnosis.can_trace != legacy


def test_trials_come_after_those_that_they_need():
    names = [trial.name for trial in TRIALS]
    assert len(set(names)) == len(names)
    for trial in TRIALS:
        assert set(trial.after) <= set(names[: names.index(trial.name)]), trial.name
