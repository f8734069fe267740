"""What a kernel said of marked packets, as tests/live/record_rule_evidence.py wrote it down."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracer.events import Leg
from tracer.netfilter.evidence.match import KnownAnswers
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netfilter.evidence.table import table_name

DATA = Path(__file__).parent.parent / "data" / "evidence"


@dataclass(frozen=True)
class RecordedMark:
    """A mark as it was; it answers as the real one did."""

    probe: ProbeMark
    legs: Mapping[int, Leg]
    known: KnownAnswers

    @property
    def table(self) -> str:
        return table_name(self.probe)

    def answers(self) -> KnownAnswers:
        return self.known


@dataclass(frozen=True)
class Recording:
    mark: RecordedMark
    nft: Sequence[bytes]
    legacy: Sequence[bytes]


@dataclass
class Stream:
    """A netlink socket that has what is queued, and None where the kernel lost something."""

    queue: list[bytes | None] = field(default_factory=list)

    def recv(self, size: int) -> bytes:
        if not self.queue:
            raise BlockingIOError
        data = self.queue.pop(0)
        if data is None:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return data[:size]


def load(name: str) -> Recording:
    said = json.loads((DATA / f"{name}.json").read_text())
    probe = said["probe"]
    mark = RecordedMark(
        ProbeMark(probe["protocol"], probe["family"], bytes.fromhex(probe["token"])),
        {int(handle): leg for handle, leg in said["legs"].items()},
        KnownAnswers(*(frozenset(map(bytes.fromhex, said[part])) for part in ("remotes", "own_ports"))),
    )
    return Recording(mark, *([bytes.fromhex(message) for message in said[part]] for part in ("nft", "legacy")))
