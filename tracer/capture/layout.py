"""The bytes that BPF and Python share, as bpf/event.h, bpf/probe.h and bpf/hooks.c lay them out.

tests/capture/test_layout.py holds these formats against the C structures.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass

from tracer.capture.patterns import WORDS, Pattern, patterns
from tracer.netfilter.evidence.signature import ProbeMark

PACKET_BYTES = 128
_SYMBOL = 64
EVENT = struct.Struct(f"=QQIIIIIBBBB{PACKET_BYTES}s{_SYMBOL}s")
KIND_INGRESS, KIND_EGRESS, KIND_HOOK, KIND_FREED = 1, 2, 3, 4

_NAME = 64
HOOK_FUNCTION = struct.Struct(f"=iBBBBB3x{_NAME}s{_NAME}s{_NAME}s{_SYMBOL}s")

_FOLLOWED, _PATTERNS, _PORTS = 4, 8, 4
_PROBE_HEAD = struct.Struct(f"={_FOLLOWED}Q{_PORTS}HBBBBB3x{_FOLLOWED}I{_FOLLOWED}B{_FOLLOWED}B")
_PATTERN = struct.Struct(f"={3 * WORDS}QBB6x")
_PROTOCOLS = {("icmp", 4): 1, ("icmp", 6): 58, ("tcp", 4): 6, ("tcp", 6): 6}  # and 17, UDP
PROBE_BYTES = _PROBE_HEAD.size + _PATTERNS * _PATTERN.size


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


def _pattern(pattern: Pattern) -> bytes:
    numbers = (number for word in pattern.words for number in (_native(word.mask), _native(word.value), word.at))
    return _PATTERN.pack(*numbers, pattern.protocol, pattern.leg)


def probe_bytes(mark: ProbeMark, source_port: int | None) -> bytes:
    """Return struct probe as user space fills it in before the first link."""
    known = patterns(mark)
    ports = [0] * _PORTS
    if source_port is not None:
        ports[0] = _native(source_port.to_bytes(2, "big"))
    head = _PROBE_HEAD.pack(
        *[0] * _FOLLOWED,
        *ports,
        mark.family,
        _PROTOCOLS.get((mark.protocol, mark.family), 17),
        0,
        1 if source_port is not None else 0,
        len(known),
        *[0] * _FOLLOWED,
        *[0] * (2 * _FOLLOWED),
    )
    return (head + b"".join(map(_pattern, known))).ljust(PROBE_BYTES, b"\0")
