"""Trials of the programs that we run, and of what killed runs have left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from tracer.doctor.bench import Bench
from tracer.errors import CannotTraceError
from tracer.journal import left_behind
from tracer.netfilter.nft.programs import output_of
from tracer.probe.model import Probe, new_token


def scapy(bench: Bench) -> str:
    """Have a probe made."""
    probe = bench.builder.complete(Probe("icmp", 4, new_token(), "192.0.2.1", "192.0.2.2", None, None))
    return f"makes a probe of {len(probe.packet)} bytes"


def pyroute2(_bench: Bench) -> str:
    """Import pyroute2."""
    try:
        from pyroute2.config.version import __version__
    except ImportError as error:
        raise CannotTraceError(
            f"the Python module pyroute2 cannot be loaded ({error})",
            "Install tracer together with what it needs: see README.md",
        ) from error
    return str(__version__)


def prints_rules(programs: Sequence[Sequence[str]], lost: str) -> Callable[[Bench], str]:
    """Return the trial of a program that prints rules; `lost` says what a trace lacks without it."""

    def run(_bench: Bench) -> str:
        try:
            return output_of(programs, ["--version"]).partition("\n")[0]
        except CannotTraceError as error:
            raise CannotTraceError(f"{error.cause}: {lost}", error.way_out) from error

    return run


def builds_labs(program: str, package: str) -> Callable[[Bench], str]:
    """Return the trial of a program that only `tracer replay` runs, to build a lab."""

    def look(_bench: Bench) -> str:
        found = shutil.which(program)
        if not found:
            raise CannotTraceError(
                f"{program} is not there: scenarios that use it cannot be built", f"Install the package {package}"
            )
        return found

    return look


def left_over(_bench: Bench) -> str:
    """Look for what killed runs have set and not undone."""
    settings = left_behind()
    if settings:
        names = "; ".join(f"{setting.name} of {setting.netns.label}" for setting in settings)
        raise CannotTraceError(f"a killed run has left changed: {names}", "Run `tracer cleanup`; a trace does it too")
    return "nothing"
