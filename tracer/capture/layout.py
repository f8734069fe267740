"""The bytes that BPF and Python share, as bpf/event.h, bpf/probe.h and bpf/hooks.c lay them out.

tests/capture/test_layout.py holds STRUCTURES against the C structures, field by field.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass

from tracer.capture.patterns import WORDS, Pattern, patterns
from tracer.netfilter.evidence.signature import ProbeMark

PACKET_BYTES = 128
KIND_INGRESS, KIND_EGRESS, KIND_HOOK, KIND_FREED = 1, 2, 3, 4

_NAME = _SYMBOL = 64
_FOLLOWED, _PATTERNS, _PORTS = 4, 8, 4
_PROTOCOLS = {("icmp", 4): 1, ("icmp", 6): 58, ("tcp", 4): 6, ("tcp", 6): 6}  # and 17, UDP

_WORD = {"mask": "Q", "value": "Q", "at": "Q"}
_PATTERN = {"words": WORDS * "".join(_WORD.values()), "protocol": "B", "leg": "B", "unused": "6x"}
STRUCTURES = {
    "event": {
        "at_ns": "Q",
        "skb": "Q",
        "netns": "I",
        "device_in": "I",
        "device_out": "I",
        "mark": "I",
        "reason": "I",
        "kind": "B",
        "leg": "B",
        "hook": "B",
        "nth": "B",
        "packet": f"{PACKET_BYTES}s",
        "function": f"{_SYMBOL}s",
    },
    "hook_function": {
        "priority": "i",
        "ipv6": "B",
        "hook": "B",
        "order": "B",
        "nat": "B",
        "nft_family": "B",
        "unused": "3x",
        "xt_table": f"{_NAME}s",
        "nft_table": f"{_NAME}s",
        "nft_chain": f"{_NAME}s",
        "function": f"{_SYMBOL}s",
    },
    "word": _WORD,
    "pattern": _PATTERN,
    "probe": {
        "followed": f"{_FOLLOWED}Q",
        "ports": f"{_PORTS}H",
        "version": "B",
        "protocol": "B",
        "next_followed": "B",
        "next_port": "B",
        "next_pattern": "B",
        "unused": "3x",
        "at_netns": f"{_FOLLOWED}I",
        "at_hook": f"{_FOLLOWED}B",
        "at_nth": f"{_FOLLOWED}B",
        "patterns": _PATTERNS * "".join(_PATTERN.values()),
    },
}
"""The C structures by name, each with its fields in order and their formats as the module `struct` writes them."""


def _structure(name: str) -> struct.Struct:
    return struct.Struct("=" + "".join(STRUCTURES[name].values()))


EVENT, HOOK_FUNCTION, PROBE = map(_structure, ("event", "hook_function", "probe"))


@dataclass(frozen=True)
class RawEvent:
    """struct event, field by field."""

    at_ns: int
    skb: int
    netns: int
    device_in: int
    device_out: int
    mark: int
    reason: int
    kind: int
    leg: int
    hook: int
    nth: int
    packet: bytes
    function: str


def read_event(data: bytes) -> RawEvent:
    """Decode one struct event."""
    *fields, function = EVENT.unpack(data)
    return RawEvent(*(*fields, _symbol(function)))


@dataclass(frozen=True)
class RawHookFunction:
    """struct hook_function, field by field; the names are what the kernel has, in whatever encoding."""

    priority: int
    ipv6: int
    hook: int
    order: int
    nat: int
    nft_family: int
    xt_table: str
    nft_table: str
    nft_chain: str
    function: str


def read_hook_function(data: bytes) -> RawHookFunction:
    """Decode one struct hook_function."""
    *numbers, xt_table, nft_table, nft_chain, function = HOOK_FUNCTION.unpack(data)
    names = map(_text, (xt_table, nft_table, nft_chain))
    return RawHookFunction(*(*numbers, *names, _symbol(function).partition("+")[0]))


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _symbol(data: bytes) -> str:
    """Return `nf_hook_slow+0x7d` of the kernel's `nf_hook_slow+0x7d/0x100 [module]` (%pS in printk-formats.rst)."""
    return _text(data).partition("/")[0]


def _native(data: bytes) -> int:
    """Return the number that a processor of this machine loads from these bytes."""
    return int.from_bytes(data, sys.byteorder)


def _numbers(pattern: Pattern) -> tuple[int, ...]:
    """Return struct pattern, number by number."""
    words = (number for word in pattern.words for number in (_native(word.mask), _native(word.value), word.at))
    return *words, pattern.protocol, pattern.leg


def probe_bytes(mark: ProbeMark, source_port: int | None) -> bytes:
    """Return struct probe as user space fills it in before the first link."""
    known = [_numbers(pattern) for pattern in patterns(mark)]
    known_ports = [] if source_port is None else [_native(source_port.to_bytes(2, "big"))]
    ports = known_ports + [0] * (_PORTS - len(known_ports))
    protocol = _PROTOCOLS.get((mark.protocol, mark.family), 17)
    empty = [(0,) * len(known[0])] * (_PATTERNS - len(known))
    return PROBE.pack(
        *[0] * _FOLLOWED,
        *ports,
        *(mark.family, protocol, 0, len(known_ports), len(known)),
        *[0] * (3 * _FOLLOWED),
        *(number for pattern in (*known, *empty) for number in pattern),
    )
