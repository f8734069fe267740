"""Start early what takes long to load and does not depend on the flow."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tracer.capture.programs import Programs
    from tracer.endpoints.model import ResolvedFlow
    from tracer.probe.model import Probe

ProbeBuilder: TypeAlias = "Callable[[ResolvedFlow, bytes, int | None], Probe]"


@dataclass(frozen=True)
class Preparation:
    """The compiled BPF programs and the probe's builder, once they are there; good for any number of traces in turn."""

    programs: Future[Programs]
    build_probe: Future[ProbeBuilder]


def prepare() -> Preparation:
    """Start compiling the BPF programs and loading scapy, side by side with what the caller does next."""
    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="prepare")
    preparation = Preparation(pool.submit(_load_programs), pool.submit(_load_builder))
    pool.shutdown(wait=False)
    return preparation


def _load_programs() -> Programs:
    from tracer.capture.programs import Programs

    programs = Programs()
    programs.load_all()
    return programs


def _load_builder() -> ProbeBuilder:
    from tracer.probe.build import build_probe

    return build_probe
