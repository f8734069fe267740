"""What a diagnosis is: plain data, as it is stored and shown."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tracer.document import Host

SCHEMA = "tracer/doctor/1"

State: TypeAlias = Literal["ok", "lacking", "unknown"]
"""`unknown`: it was not tried, because something that it needs is lacking."""
Part: TypeAlias = Literal["machine", "bpf", "probes", "netfilter", "veth", "rules", "texts", "labs", "left over"]

ONE_IS_ENOUGH: tuple[Part, ...] = ("netfilter", "veth")
"""The parts whose checks are different means to the same end."""


class Check(msgspec.Struct, frozen=True):
    """One thing that was tried: what was found, and the way out where it is lacking.

    `needed` tells whether no trace is possible without it; a means of several is never needed by itself.
    """

    name: str
    part: Part
    needed: bool
    state: State
    found: str
    way_out: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """What a machine can do; `netfilter` and `veth` name the means that a trace would use, None where it has none."""

    host: Host
    can_trace: bool
    netfilter: str | None
    veth: str | None
    checks: tuple[Check, ...]
    schema: str = SCHEMA


def conclude(host: Host, checks: tuple[Check, ...]) -> Diagnosis:
    """Return the diagnosis that follows from the checks; the means are in the order of preference."""
    means = {part: _first_ok(checks, part) for part in ONE_IS_ENOUGH}
    complete = all(check.state == "ok" for check in checks if check.needed)
    return Diagnosis(host, complete and None not in means.values(), means["netfilter"], means["veth"], checks)


def _first_ok(checks: tuple[Check, ...], part: Part) -> str | None:
    return next((check.name for check in checks if check.part == part and check.state == "ok"), None)
