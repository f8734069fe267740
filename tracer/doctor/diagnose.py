"""Try everything that a trace needs, and say what was found."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timezone

from tracer import __version__
from tracer.doctor.bench import Bench
from tracer.doctor.model import Check, Diagnosis, conclude
from tracer.doctor.packet_filters import has_legacy_tables
from tracer.doctor.trials import TRIALS, Trial
from tracer.document import Host
from tracer.errors import CannotTraceError


def diagnose() -> Diagnosis:
    """Return what this machine can do, for the network namespace of the caller; what was made for it is gone then."""
    started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    with ExitStack() as stack:
        checks = tuple(try_all(TRIALS, Bench(stack), legacy=has_legacy_tables()))
    return conclude(Host(os.uname().nodename, os.uname().release, __version__, started), checks)


def try_all(trials: tuple[Trial, ...], bench: Bench, *, legacy: bool) -> Iterator[Check]:
    """Yield what each trial found; `legacy` tells whether the node has tables of iptables-legacy."""
    done: dict[str, Check] = {}
    for trial in trials:
        needed = trial.need == "always" or (trial.need == "with legacy tables" and legacy)
        check = _try(trial, bench, done, needed=needed)
        done[trial.name] = check
        yield check


def _try(trial: Trial, bench: Bench, done: Mapping[str, Check], *, needed: bool) -> Check:
    lacking = next((name for name in trial.after if done[name].state != "ok"), None)
    if lacking:
        return Check(trial.name, trial.part, needed, "unknown", f"not tried without {lacking}")
    try:
        return Check(trial.name, trial.part, needed, "ok", trial.attempt(bench))
    except CannotTraceError as error:
        return Check(trial.name, trial.part, needed, "lacking", error.cause, error.way_out)
