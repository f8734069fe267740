"""What the readers of both traces have in common: a stream of netlink messages about one mark's packets."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import TypeVar

from tracer.netfilter.evidence.mark import Mark
from tracer.netfilter.evidence.signature import signatures

MOST_AT_ONCE = 1000  # somebody else's trace of much traffic must not keep us from everything else

_Reader = TypeVar("_Reader", bound="TraceReader")


class TraceReader:
    """A stream that can be polled by `fileno` and never blocks; `lost` counts what did not reach us."""

    def __init__(self, stream: socket.socket, mark: Mark) -> None:
        """Take over `stream`, which hears of the packets of `mark`."""
        self.lost = 0
        self._stream = stream
        self._mark = mark
        self._signatures = signatures(mark.probe)

    def __enter__(self: _Reader) -> _Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when messages wait."""
        return self._stream.fileno()

    def close(self) -> None:
        """Hear no more; once more does nothing."""
        self._stream.close()
