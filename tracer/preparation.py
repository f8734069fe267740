"""Start early what takes long to load and does not depend on the flow."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracer.probe.builder import Builder, start_builder

if TYPE_CHECKING:
    from tracer.capture.programs import Programs


@dataclass(frozen=True)
class Preparation:
    """The compiled BPF programs, once they are there, and the builder of probes; good for any number of traces."""

    programs: Future[Programs]
    builder: Builder


@contextmanager
def preparing() -> Iterator[Preparation]:
    """Compile the BPF programs and load scapy, side by side with what the caller does in the context."""
    with start_builder() as builder, ThreadPoolExecutor(1, thread_name_prefix="compile") as pool:
        yield Preparation(pool.submit(_load_programs), builder)


def _load_programs() -> Programs:
    from tracer.capture.programs import Programs

    programs = Programs()
    programs.load_all()
    return programs
