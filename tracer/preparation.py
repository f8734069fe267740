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
    """What any number of traces in turn share.

    The BPF programs, once they are compiled; the builder of probes; and a thread for what goes on aside, in the order
    in which it is submitted, and is done when the context ends.
    """

    programs: Future[Programs]
    builder: Builder
    aside: ThreadPoolExecutor


@contextmanager
def preparing() -> Iterator[Preparation]:
    """Compile the BPF programs and load scapy, side by side with what the caller does in the context."""
    with start_builder() as builder, ThreadPoolExecutor(1) as compiler, ThreadPoolExecutor(1) as aside:
        yield Preparation(compiler.submit(_load_programs), builder, aside)


def _load_programs() -> Programs:
    from tracer.capture.programs import Programs

    programs = Programs()
    programs.load_all()
    return programs
