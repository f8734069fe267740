"""What makes a packet ours: the words that BPF looks for, by protocol and leg.

Offsets count from the network header; a packet with IP options or extension headers is never ours. See bpf/probe.h
for how the patterns are used, and for the answer to plain UDP, whose pattern is learned as the request goes by.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

REQUEST, REPLY = 0, 1
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_ECHO_TYPES = {4: (8, 0), 6: (128, 129)}  # request, reply: RFC 792, RFC 4443
_TCP_SYN, _TCP_ACK = 0x02, 0x10
TOKEN_IN_DNS = 13  # the header's 12 bytes and the length of the first label (RFC 1035, 4.1)


@dataclass(frozen=True)
class Identity:
    """What tells our probe from every other packet; ports and sequence numbers in host order.

    `protocol` is icmp, udp, tcp or dns; `source_port` is None for icmp, `sequence` counts for tcp alone. For dns,
    `token` is the text of the question's first label.
    """

    family: int
    protocol: str
    token: bytes
    source_port: int | None = None
    sequence: int = 0


@dataclass(frozen=True)
class Word:
    """Eight bytes of a packet: those at `at` must be `value` wherever `mask` has a one."""

    at: int = 0
    mask: bytes = bytes(8)
    value: bytes = bytes(8)


@dataclass(frozen=True)
class Pattern:
    """A packet of IP protocol `protocol` that has both words belongs to `leg`."""

    protocol: int
    leg: int
    first: Word
    second: Word = Word()


def _word(at: int, value: bytes, mask: bytes | None = None) -> Word:
    mask = mask or b"\xff" * len(value)
    return Word(at, mask.ljust(8, b"\0"), value.ljust(8, b"\0"))


def ip_protocol(identity: Identity) -> int:
    """Return the IP protocol number of the probe."""
    if identity.protocol == "icmp":
        return _ICMP if identity.family == 4 else _ICMPV6
    return _TCP if identity.protocol == "tcp" else _UDP


def _quoted(identity: Identity, at: int) -> Pattern:
    """Match an ICMP error that quotes the probe (RFC 792, RFC 4443); `at` counts from the quoted transport header."""
    network = 20 if identity.family == 4 else 40
    value = identity.sequence.to_bytes(4, "big") if identity.protocol == "tcp" else identity.token[:8]
    return Pattern(
        _ICMP if identity.family == 4 else _ICMPV6, REPLY, _word(network + 8 + network + at, value)
    )


def patterns(identity: Identity) -> tuple[Pattern, ...]:
    """Return the patterns of the probe, of its answers, and of ICMP errors that quote it."""
    transport = 20 if identity.family == 4 else 40
    protocol = ip_protocol(identity)
    token = identity.token[:8]
    if identity.protocol == "icmp":
        request, reply = _ECHO_TYPES[identity.family]
        return (
            Pattern(protocol, REQUEST, _word(transport + 8, token), _word(transport, bytes([request]))),
            Pattern(protocol, REPLY, _word(transport + 8, token), _word(transport, bytes([reply]))),
            _quoted(identity, 8),
        )
    if identity.protocol == "tcp":
        sequence = identity.sequence.to_bytes(4, "big")
        acknowledgement = ((identity.sequence + 1) & 0xFFFFFFFF).to_bytes(4, "big")
        syn = _word(transport + 13, bytes([_TCP_SYN]), bytes([_TCP_SYN | _TCP_ACK]))
        ack = _word(transport + 13, bytes([_TCP_ACK]), bytes([_TCP_ACK]))
        return (
            Pattern(protocol, REQUEST, _word(transport + 4, sequence), syn),
            Pattern(protocol, REPLY, _word(transport + 8, acknowledgement), ack),
            _quoted(identity, 4),
        )
    if identity.protocol == "dns":
        at = 8 + TOKEN_IN_DNS
        question = _word(transport + 10, b"\0", b"\x80")  # the QR bit
        answer = _word(transport + 10, b"\x80", b"\x80")
        return (
            Pattern(protocol, REQUEST, _word(transport + at, token), question),
            Pattern(protocol, REPLY, _word(transport + at, token), answer),
            _quoted(identity, at),
        )
    return (Pattern(protocol, REQUEST, _word(transport + 8, token)), _quoted(identity, 8))


def native(word: bytes) -> int:
    """Return the number that a processor of this machine loads from eight bytes."""
    return int.from_bytes(word, sys.byteorder)
