"""The bytes that BPF and Python share, as bpf/event.h, bpf/probe.h and bpf/hooks.c lay them out.

tests/capture/test_layout.py holds these formats against the C structures.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass

from tracer.capture.patterns import Identity, Pattern, Word, ip_protocol, native, patterns

PACKET_BYTES = 128
EVENT = struct.Struct(f"=QQQIIIIIBBBB{PACKET_BYTES}sQ")
KIND_INGRESS, KIND_EGRESS, KIND_HOOK, KIND_FREED = 1, 2, 3, 4

_NAME = 64
HOOK_FUNCTION = struct.Struct(f"=QiBBBBB7x{_NAME}s{_NAME}s{_NAME}s")

_FOLLOWED, _PATTERNS, _PORTS = 4, 8, 4
_PROBE_HEAD = struct.Struct(f"={_FOLLOWED}Q{_PORTS}HBBBBB3x{_FOLLOWED}I{_FOLLOWED}B{_FOLLOWED}B")
_PATTERN = struct.Struct("=QQQQQQBB6x")
PROBE_BYTES = _PROBE_HEAD.size + _PATTERNS * _PATTERN.size


@dataclass(frozen=True)
class RawEvent:
    """struct event, field by field."""

    at_ns: int
    skb: int
    caller: int
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


def read_event(data: bytes) -> RawEvent:
    """Decode one struct event."""
    return RawEvent(*EVENT.unpack(data)[:-1])


@dataclass(frozen=True)
class RawHookFunction:
    """struct hook_function, field by field; the names are what the kernel has, in whatever encoding."""

    function: int
    priority: int
    ipv6: int
    hook: int
    order: int
    nat: int
    nft_family: int
    xt_table: str
    nft_table: str
    nft_chain: str


def read_hook_function(data: bytes) -> RawHookFunction:
    """Decode one struct hook_function."""
    *numbers, xt_table, nft_table, nft_chain = HOOK_FUNCTION.unpack(data)
    names = (
        name.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
        for name in (xt_table, nft_table, nft_chain)
    )
    return RawHookFunction(*numbers, *names)


def _word(word: Word) -> tuple[int, int, int]:
    return native(word.mask), native(word.value), word.at


def _pattern(pattern: Pattern) -> bytes:
    return _PATTERN.pack(*_word(pattern.first), *_word(pattern.second), pattern.protocol, pattern.leg)


def probe_bytes(identity: Identity) -> bytes:
    """Return struct probe as user space fills it in before the first link."""
    known = patterns(identity)
    ports = [0] * _PORTS
    if identity.source_port is not None:
        ports[0] = int.from_bytes(identity.source_port.to_bytes(2, "big"), sys.byteorder)
    head = _PROBE_HEAD.pack(
        *[0] * _FOLLOWED,
        *ports,
        identity.family,
        ip_protocol(identity),
        0,
        1 if identity.source_port is not None else 0,
        len(known),
        *[0] * _FOLLOWED,
        *[0] * (2 * _FOLLOWED),
    )
    return (head + b"".join(map(_pattern, known))).ljust(PROBE_BYTES, b"\0")
