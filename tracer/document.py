"""The trace document: one probe, what was seen of it, and what that means, as one JSON file."""

from __future__ import annotations

from typing import Literal

import msgspec

from tracer.events import Event, Leg
from tracer.netfilter.ruleset import Backend, Family

SCHEMA = "tracer/trace/1"

Outcome = Literal["delivered", "request_lost", "reply_lost", "no_reply", "rejected", "not_sent"]
Confidence = Literal["observed", "inferred"]


class Place(msgspec.Struct, frozen=True):
    """One end of the flow; `host_device` is the other end of the pod's veth, in the node."""

    endpoint: str
    netns: str
    address: str
    port: int | None
    device: str | None
    host_device: str | None


class Flow(msgspec.Struct, frozen=True):
    """What was sent, from where to where; `token` is the probe's hexadecimal mark in the packet."""

    protocol: str
    token: str
    source: Place
    destination: Place


class Host(msgspec.Struct, frozen=True):
    """Where and when the trace was made; `started` is RFC 3339."""

    node: str
    kernel: str
    tool: str
    started: str


class Change(msgspec.Struct, frozen=True):
    """Something that was set on the node for the trace, and whether it is as it was before."""

    netns: str
    what: str
    before: str | None
    after: str | None
    restored: bool


class Capture(msgspec.Struct, frozen=True):
    """By which means the packet was watched, and what was lost on the way (full buffers)."""

    netfilter: Literal["link", "fexit", "kprobe"]
    veth: Literal["tcx", "clsact"]
    rules: tuple[str, ...]
    events: int
    lost: int
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()


class HookFunction(msgspec.Struct, frozen=True):
    """One function in a netfilter hook; `order` counts from 1 and is the order of execution."""

    netns: str
    family: Literal["ipv4", "ipv6"]
    hook: str
    order: int
    priority: int
    function: str
    backend: Backend | None
    table: str | None
    chain: str | None


class RulesetSummary(msgspec.Struct, frozen=True):
    """How much one backend's table holds in one namespace, and who wrote it."""

    netns: str
    backend: Backend
    family: Family
    table: str
    chains: int
    rules: int
    owners: tuple[str, ...]


class Decision(msgspec.Struct, frozen=True):
    """One rule, return or policy that the packet met."""

    backend: Backend
    family: Family
    table: str
    chain: str
    position: int | None
    handle: int | None
    rule: str
    verdict: str
    owner: str


class Addresses(msgspec.Struct, frozen=True):
    """Source and destination with their ports, as `10.0.0.2:53` or `[fd00::2]:53`."""

    address_from: str
    address_to: str


class Hop(msgspec.Struct, frozen=True):
    """One place where the packet was seen.

    `place` is `ingress`, `egress`, a hook's name, `socket` or `freed`. The addresses are those that the packet
    left with; `translated_from` has those that it came with where NAT changed them here.
    """

    at_ns: int
    netns: str
    place: str
    device: str | None
    address_from: str
    address_to: str
    decisions: tuple[Decision, ...] = ()
    translated_from: Addresses | None = None
    detail: str = ""


class LegTrace(msgspec.Struct, frozen=True):
    """One leg of the journey with its hops in time order."""

    leg: Leg
    hops: tuple[Hop, ...]


class Culprit(msgspec.Struct, frozen=True):
    """What ended the packet: a rule, a chain's policy, or a kernel function."""

    kind: Literal["rule", "policy", "kernel"]
    netns: str
    hook: str | None = None
    device: str | None = None
    backend: Backend | None = None
    family: Family | None = None
    table: str | None = None
    chain: str | None = None
    position: int | None = None
    handle: int | None = None
    rule: str | None = None
    verdict: str | None = None
    owner: str | None = None
    function: str | None = None
    reason: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """The outcome, in one word and in one sentence; `basis` says what an inferred culprit is inferred from."""

    outcome: Outcome
    leg: Leg
    summary: str
    confidence: Confidence
    culprit: Culprit | None
    basis: str = ""


class Finding(msgspec.Struct, frozen=True):
    """A cause that explains more than this packet.

    A line of `remedy` that starts with `$ ` is a command, to be copied without those two characters.
    """

    id: str
    severity: Literal["critical", "warning", "info"]
    title: str
    evidence: tuple[str, ...]
    remedy: tuple[str, ...]


class TraceDocument(msgspec.Struct, frozen=True):
    """All that one trace knows."""

    flow: Flow
    host: Host
    capture: Capture
    hooks: tuple[HookFunction, ...]
    rulesets: tuple[RulesetSummary, ...]
    events: tuple[Event, ...]
    legs: tuple[LegTrace, ...]
    verdict: Verdict
    findings: tuple[Finding, ...]
    schema: str = SCHEMA
