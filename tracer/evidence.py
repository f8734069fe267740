"""All that a verdict is made from, and what is asked of it more than once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer.document import Decision, Flow, HookFunction, Hop, LegTrace
from tracer.events import Event, Leg, SocketEvent
from tracer.netfilter.ruleset import HOOKS


@dataclass(frozen=True)
class Evidence:
    """The flow, its journey, the events behind it in time order, what stood at the hooks, and how much was lost."""

    flow: Flow
    legs: tuple[LegTrace, ...]
    events: tuple[Event, ...]
    hooks: tuple[HookFunction, ...]
    lost: int = 0

    def hops(self, leg: Leg) -> tuple[Hop, ...]:
        """Return the hops of a leg, none if it was not seen."""
        return next((trace.hops for trace in self.legs if trace.leg == leg), ())

    def decisions(self, leg: Leg, *verdicts: str) -> Iterator[tuple[Hop, Decision]]:
        """Yield the decisions of a leg with one of these verdicts, the last one first."""
        for hop in reversed(self.hops(leg)):
            for decision in reversed(hop.decisions):
                if decision.verdict.partition(" ")[0] in verdicts:
                    yield hop, decision

    def socket_event(self, action: str) -> SocketEvent | None:
        """Return the first event of the probe's sockets with this action."""
        events = (event for event in self.events if isinstance(event, SocketEvent) and event.action == action)
        return next(events, None)

    def first_packet(self, leg: Leg) -> bytes:
        """Return the packet as it was first seen on a leg."""
        return next((event.packet for event in self.events if event.leg == leg and event.packet), b"")

    def route(self, leg: Leg) -> str:
        """Return `SOURCE to DESTINATION` as that leg goes."""
        ends = (self.flow.source.endpoint, self.flow.destination.endpoint)
        return "{} to {}".format(*(ends if leg == "request" else reversed(ends)))


def last_hook(hops: tuple[Hop, ...]) -> Hop | None:
    """Return the last of the hops that is a netfilter hook."""
    return next((hop for hop in reversed(hops) if hop.place in HOOKS), None)


def last_device(hops: tuple[Hop, ...], netns: str) -> str | None:
    """Return the last device of a namespace that is known of."""
    return next((hop.device for hop in reversed(hops) if hop.device and hop.netns == netns), None)
