"""Everything that was seen of one probe, as plain data in one stream.

Packet events come from BPF, rule events from the packet filters' own traces, socket events from the probe's
sockets. `at_ns` is CLOCK_MONOTONIC in nanoseconds, what `bpf_ktime_get_ns` returns; rule events carry the time
at which they were read, which is later than the rule ran. `netns` is the label of the namespace (`node`,
`netns:web`). `packet` starts at the network header.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tracer.netfilter.ruleset import Backend, Family

Leg = Literal["request", "reply"]
Direction = Literal["ingress", "egress"]


class DeviceEvent(msgspec.Struct, frozen=True, tag_field="kind", tag="device"):
    """The packet entered (`ingress`) or left (`egress`) its namespace through a device."""

    at_ns: int
    netns: str
    leg: Leg
    skb: str
    device: str
    direction: Direction
    mark: int
    packet: bytes


class HookEvent(msgspec.Struct, frozen=True, tag_field="kind", tag="hook"):
    """The packet passed our link at `priority` of a netfilter hook: all that runs before it let it pass."""

    at_ns: int
    netns: str
    leg: Leg
    skb: str
    hook: str
    priority: int
    device_in: str
    device_out: str
    mark: int
    packet: bytes


class FreedEvent(msgspec.Struct, frozen=True, tag_field="kind", tag="freed"):
    """The kernel dropped the packet: `function` called kfree_skb (`nf_hook_slow+0x7d`), for `reason`."""

    at_ns: int
    netns: str
    leg: Leg
    skb: str
    function: str
    reason: str
    mark: int
    packet: bytes


class SocketEvent(msgspec.Struct, frozen=True, tag_field="kind", tag="socket"):
    """The probe was sent, or its answer arrived at the sender's socket; `error` says why it was not sent."""

    at_ns: int
    netns: str
    leg: Leg
    action: Literal["sent", "received", "refused"]
    packet: bytes
    error: str = ""


class RuleEvent(msgspec.Struct, frozen=True, tag_field="kind", tag="rule"):
    """One backend says that the packet matched a rule, came back from a chain, or met a chain's policy.

    `verdict` uses nft's words: accept, drop, continue, return, `jump CHAIN`, `goto CHAIN`, queue, stolen. For a
    policy, `rule` is `-P CHAIN VERDICT` or nft's `policy VERDICT`, and there is no position or handle. `hook` is
    empty where the backend does not tell it; `packet` may be empty for all but the first event of a base chain.
    """

    at_ns: int
    netns: str
    leg: Leg
    backend: Backend
    family: Family
    hook: str
    table: str
    chain: str
    step: Literal["rule", "return", "policy"]
    verdict: str
    position: int | None = None
    handle: int | None = None
    rule: str = ""
    owner: str = "unknown"
    packet: bytes = b""


Event: TypeAlias = DeviceEvent | HookEvent | FreedEvent | SocketEvent | RuleEvent
