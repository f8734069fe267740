"""What a capture is asked to watch, and what every way of capturing offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from tracer.endpoints.model import Device
from tracer.events import Event
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netns import Netns


@dataclass(frozen=True)
class Watch:
    """The probe to follow, and the namespaces and devices that it should pass.

    `source_port` is the port that the probe is sent from, None for ICMP.
    """

    mark: ProbeMark
    source_port: int | None
    namespaces: tuple[Netns, ...]
    devices: tuple[Device, ...]


class Capture(Protocol):
    """A source of packet events: the kernel, or a recording of it.

    `read` returns what was seen since the last call, in any order; `lost` counts the events that found no room.
    """

    @property
    def netfilter(self) -> Literal["link", "fexit", "kprobe"]:
        """The way in which netfilter is watched."""
        ...

    @property
    def veth(self) -> Literal["tcx", "clsact"]:
        """The way in which devices are watched."""
        ...

    def fileno(self) -> int:
        """Return a descriptor that polls readable when there are events."""
        ...

    def read(self) -> list[Event]:
        """Return the events that have come in."""
        ...

    def lost(self) -> int:
        """Return how many events were lost so far."""
        ...

    def close(self) -> None:
        """Detach every program."""
        ...
