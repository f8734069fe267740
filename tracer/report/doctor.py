"""A diagnosis for people: can it trace, then every check by topic, and the way out below each that fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

from tracer.doctor.model import ONE_IS_ENOUGH, Check, Diagnosis, Part
from tracer.report.rows import Row, empty, listed, row, title

_TITLES: Mapping[Part, str] = {
    "machine": "Machine",
    "bpf": "BPF",
    "probes": "Probes and netlink",
    "netfilter": "Ways to watch netfilter (one is enough)",
    "veth": "Ways to watch devices (one is enough)",
    "rules": "What the packet filters say",
    "texts": "Programs that print rules (a trace names rules without them too)",
    "labs": "Programs that build labs (only `tracer replay` needs them)",
    "left over": "Left by killed runs",
}
_STYLES = {"ok": "green", "lacking": "bold red", "unknown": "yellow"}
_OPTIONAL_STYLES = {**_STYLES, "lacking": "bold yellow"}
_STATE_WIDTH = max(map(len, _STYLES)) + 2


@dataclass(frozen=True)
class DoctorReport:
    """A diagnosis as a rich renderable."""

    diagnosis: Diagnosis

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the report's lines."""
        yield from doctor_blocks(self.diagnosis)


def print_doctor(diagnosis: Diagnosis, console: Console) -> None:
    """Print a diagnosis; what is to be copied may be longer than the console's width."""
    console.print(DoctorReport(diagnosis), crop=False)


def doctor_blocks(diagnosis: Diagnosis) -> Iterator[RenderableType]:
    """Yield the answer in one sentence, and a block for each topic."""
    yield _answer(diagnosis)
    width = max((len(check.name) for check in diagnosis.checks), default=0)
    for part, checks in groupby(diagnosis.checks, key=lambda check: check.part):
        yield empty()
        yield title(_TITLES[part])
        for check in checks:
            yield from _check_rows(check, width)


def _answer(diagnosis: Diagnosis) -> Row:
    where = f"{diagnosis.host.node} (tracer {diagnosis.host.tool})"
    if diagnosis.can_trace:
        return row(
            "",
            (f"{where} can trace", "bold green"),
            f": netfilter is watched by {diagnosis.netfilter}, devices by {diagnosis.veth}.",
        )
    return row("", (f"{where} cannot trace", "bold red"), f": {_why_not(diagnosis)}.")


def _why_not(diagnosis: Diagnosis) -> str:
    lacking = [check.name for check in diagnosis.checks if check.needed and check.state == "lacking"]
    for part in ONE_IS_ENOUGH:
        ways = [check for check in diagnosis.checks if check.part == part]
        if all(check.state == "lacking" for check in ways):
            lacking.append(f"every way to watch {'netfilter' if part == 'netfilter' else 'devices'}")
    return f"it lacks {listed(lacking)}"


def _check_rows(check: Check, width: int) -> Iterator[Row]:
    matters = check.needed or check.part in ONE_IS_ENOUGH
    style = (_STYLES if matters else _OPTIONAL_STYLES)[check.state]
    lead = ("  ", (f"{check.state:<{_STATE_WIDTH}}", style), f"{check.name:<{width}}  ")
    yield Row(lead, (check.found,))
    if check.way_out:
        yield Row((" " * (2 + _STATE_WIDTH + width + 2),), (check.way_out,))
