"""Know when a probe's fate is sealed: the packet is the clock, not a timeout."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.events import DeviceEvent, Event, HookEvent, Leg, SocketEvent
from tracer.freed import end_of, is_misdirected

GRACE_NS = 5_000_000  # a copy of the packet may live on; it would be seen again within microseconds
MISDIRECTED_GRACE_NS = 500_000_000  # the others that a bridge flooded may be on slower ways


def settled_at(events: Sequence[Event]) -> int | None:
    """Return the CLOCK_MONOTONIC time at which the verdict holds, in ns; None while the probe is on its way."""
    for event in events:
        if isinstance(event, SocketEvent) and event.action != "sent":
            return event.at_ns
    leg: Leg = "reply" if any(_is_sighting(event, "reply") for event in events) else "request"
    freed = end_of(events, leg)
    if freed is None or any(_is_sighting(event, leg) and event.at_ns > freed.at_ns for event in events):
        return None
    return freed.at_ns + (MISDIRECTED_GRACE_NS if is_misdirected(freed) else GRACE_NS)


def _is_sighting(event: Event, leg: Leg) -> bool:
    return isinstance(event, (DeviceEvent, HookEvent)) and event.leg == leg
