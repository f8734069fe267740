"""Which of the freeings that were seen was the packet's end, and where in the kernel that was."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.events import Event, FreedEvent, HookEvent, Leg

# nf_hook_slow frees what a hook's function dropped, unless that did so itself, as newer kernels' nf_tables does.
_NETFILTER_FUNCTIONS = ("nf_hook_slow", "nft_do_chain")
_NETFILTER_REASON = "NETFILTER_DROP"
# On the way to a queue's listener (net/netfilter/nf_queue.c), or back from it (net/netfilter/nfnetlink_queue.c).
_QUEUE_FUNCTIONS = ("nf_queue", "nfqnl_", "nf_reinject")


def end_of(events: Sequence[Event], leg: Leg) -> FreedEvent | None:
    """Return the event that ended a leg's packet, if it was seen.

    What is freed because it came to a device with another's hardware address is a copy, which a bridge floods to all
    of its ports while the packet itself goes on. It is the end only of a packet that was seen nowhere else since.
    """
    freed = [event for event in events if isinstance(event, FreedEvent) and event.leg == leg]
    ends = [event for event in freed if not is_misdirected(event)]
    if ends:
        return max(ends, key=lambda event: event.at_ns)
    return None if _arrived(events, leg) else max(freed, key=lambda event: event.at_ns, default=None)


def is_misdirected(freed: FreedEvent) -> bool:
    """Tell whether a device took the packet that was sent to another hardware address (SKB_DROP_REASON_OTHERHOST)."""
    return freed.reason.endswith("OTHERHOST")


def is_by_netfilter(freed: FreedEvent) -> bool:
    """Tell whether a function in a netfilter hook wanted the packet dropped."""
    return freed.function.startswith(_NETFILTER_FUNCTIONS) or freed.reason.endswith(_NETFILTER_REASON)


def is_by_queue(freed: FreedEvent) -> bool:
    """Tell whether the packet ended on its way to a queue of user space, or out of it."""
    return freed.function.startswith(_QUEUE_FUNCTIONS)


def function_name(freed: FreedEvent) -> str:
    """Return the freeing function without the offset in it."""
    return freed.function.partition("+")[0]


def reason_word(reason: str) -> str:
    """Return a drop reason without the kernel's prefix, and a word for none."""
    return reason.removeprefix("SKB_DROP_REASON_") or "no reason given"


def _arrived(events: Sequence[Event], leg: Leg) -> bool:
    return any(isinstance(event, HookEvent) and (event.leg, event.hook) == (leg, "INPUT") for event in events)
