"""Turn events into the journey: both legs, hop by hop, each hook with what its rules decided.

Pure: the same events, live or recorded, give the same journey.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from tracer.document import Addresses, Decision, HookFunction, Hop, LegTrace
from tracer.events import DeviceEvent, Event, FreedEvent, HookEvent, Leg, RuleEvent, SocketEvent
from tracer.freed import end_of, is_misdirected
from tracer.packet import endpoint_text, parse_packet
from tracer.rule_order import in_order

PacketEvent = DeviceEvent | HookEvent | FreedEvent | SocketEvent


def build_legs(events: Sequence[Event], hooks: Sequence[HookFunction]) -> tuple[LegTrace, ...]:
    """Return the legs that were seen, each with its hops in time order."""
    legs: tuple[Leg, ...] = ("request", "reply")
    traces = (LegTrace(leg, _hops([event for event in events if event.leg == leg], hooks)) for leg in legs)
    return tuple(trace for trace in traces if trace.hops)


def _hops(events: Sequence[Event], hooks: Sequence[HookFunction]) -> tuple[Hop, ...]:
    rules = [event for event in events if isinstance(event, RuleEvent)]
    packets = sorted(_packets(events), key=lambda event: (event.at_ns, _rank(event)))
    hops: list[Hop] = []
    decided: set[tuple[str, str]] = set()
    for (netns, place, _), group in groupby(packets, key=_spot):
        here: list[RuleEvent] = []
        if (netns, place) not in decided:
            decided.add((netns, place))
            here = [rule for rule in rules if (rule.netns, rule.hook) == (netns, place)]
        hops.append(_hop(place, list(group), in_order(here, hooks)))
    unseen = [rule for rule in rules if (rule.netns, rule.hook) not in decided]
    for spot in dict.fromkeys(map(_rule_spot, unseen)):
        _add_unseen(hops, *spot, in_order([rule for rule in unseen if _rule_spot(rule) == spot], hooks))
    return tuple(hops)


def _rule_spot(rule: RuleEvent) -> tuple[str, str]:
    return rule.netns, rule.hook or f"{rule.family} hook"


def _add_unseen(hops: list[Hop], netns: str, place: str, rules: Sequence[RuleEvent]) -> None:
    """Add a hop for rules that spoke where the packet was not seen: at a hook without our links, or an event was lost.

    The time of such an event says only when it was read, so the hop comes last in its namespace, before the end there.
    """
    passed = [number for number, hop in enumerate(hops, 1) if hop.netns == netns and not _is_end(hop)]
    ends = [number for number, hop in enumerate(hops) if _is_end(hop)]
    number = max(passed, default=min(ends, default=len(hops)))
    at_ns = hops[number - 1].at_ns if number else rules[0].at_ns
    packet = next((rule.packet for rule in rules if rule.packet), b"")
    there = _addresses(packet)
    decisions = tuple(map(_decision, rules))
    hops.insert(number, Hop(at_ns, netns, place, None, there.address_from, there.address_to, decisions))


def _is_end(hop: Hop) -> bool:
    return hop.place == "freed" or hop.detail == "received"


def _packets(events: Sequence[Event]) -> list[PacketEvent]:
    """Return what was seen of the packet itself: the freeing of a copy is no news of it."""
    packets = [event for event in events if not isinstance(event, RuleEvent)]
    copies = [*_flooded(packets), *_received_elsewhere(packets)]
    return [event for event in packets if event not in copies]


def _flooded(packets: Sequence[PacketEvent]) -> list[FreedEvent]:
    """Return the freeings of what a bridge flooded to others, while the packet itself went on."""
    misdirected = [event for event in packets if isinstance(event, FreedEvent) and is_misdirected(event)]
    return [event for event in misdirected if event != end_of(packets, event.leg)]


def _received_elsewhere(packets: Sequence[PacketEvent]) -> list[FreedEvent]:
    """Return the freeings of what a raw socket has received a copy of (net/ipv4/raw.c, raw_v4_input)."""
    received = [event.netns for event in packets if isinstance(event, SocketEvent) and event.action == "received"]
    arrivals = [
        event.at_ns
        for event in packets
        if isinstance(event, HookEvent) and event.hook == "INPUT" and event.netns in received
    ]
    freed = [event for event in packets if isinstance(event, FreedEvent) and event.netns in received]
    return [event for event in freed if arrivals and event.at_ns > max(arrivals)]


def _rank(event: PacketEvent) -> int:
    """Order what bears the same time: a packet is sent before it is seen and received after."""
    if isinstance(event, SocketEvent):
        return 2 if event.action == "received" else 0
    return 1


def place_of(event: PacketEvent) -> str:
    """Return the hop's name for an event: a device's direction, the hook, `freed` or `socket`."""
    if isinstance(event, DeviceEvent):
        return event.direction
    if isinstance(event, HookEvent):
        return event.hook
    return "freed" if isinstance(event, FreedEvent) else "socket"


def _spot(event: PacketEvent) -> tuple[str, str, str]:
    device = event.device if isinstance(event, DeviceEvent) else ""
    return event.netns, place_of(event), device


def _hop(place: str, events: list[PacketEvent], rules: Iterable[RuleEvent]) -> Hop:
    first, last = events[0], events[-1]
    came, left = _addresses(first.packet), _addresses(last.packet)
    return Hop(
        at_ns=first.at_ns,
        netns=first.netns,
        place=place,
        device=_device(first),
        address_from=left.address_from,
        address_to=left.address_to,
        decisions=tuple(map(_decision, rules)),
        translated_from=came if came != left else None,
        detail=_detail(last),
    )


def _addresses(packet: bytes) -> Addresses:
    header = parse_packet(packet)
    if header is None:
        return Addresses("", "")
    return Addresses(
        endpoint_text(header.source, header.source_port), endpoint_text(header.destination, header.destination_port)
    )


def _device(event: PacketEvent) -> str | None:
    if isinstance(event, DeviceEvent):
        return event.device
    if isinstance(event, HookEvent):
        leaving = event.hook in ("OUTPUT", "POSTROUTING")
        devices = (event.device_out, event.device_in) if leaving else (event.device_in, event.device_out)
        return devices[0] or devices[1] or None
    return None


def _detail(event: PacketEvent) -> str:
    if isinstance(event, FreedEvent):
        return f"{event.function} {event.reason}".strip()
    if isinstance(event, SocketEvent):
        return f"{event.action} {event.error}".strip()
    return ""


def _decision(event: RuleEvent) -> Decision:
    return Decision(
        backend=event.backend,
        family=event.family,
        table=event.table,
        chain=event.chain,
        position=event.position,
        handle=event.handle,
        rule=event.rule,
        verdict=event.verdict,
        owner=event.owner,
    )
