"""What the probe's packets look like in the bytes of a packet, in both legs and through NAT.

One description serves both sides: `expressions` turns it into nf_tables rules, which recognise the packets in
the kernel, and `match` applies it to the packets that a legacy TRACE carries.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Literal

from tracer.events import Leg

_ICMP, _ICMPV6 = socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
_TCP, _UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP

_ECHO_REQUEST = {4: b"\x08", 6: b"\x80"}
_ECHO_REPLY = {4: b"\x00", 6: b"\x81"}
_NETWORK_HEADER = {4: 20, 6: 40}  # without options and extension headers, as we send it
_SOURCE, _DESTINATION = {4: 12, 6: 8}, {4: 16, 6: 24}
_L4PROTO = {4: 9, 6: 6}
# Unreachable and time exceeded, 3 and 11; of ICMPv6 all errors, 1 to 4. A redirect, 5, advises: the packet goes on.
_ICMP_ERROR = {4: (b"\x03", b"\xf7"), 6: (b"\x00", b"\xf8")}
_ICMP_HEADER = _UDP_HEADER = 8

_SYN, _SYN_ACK, _RST_ACK = b"\x02", b"\x12", b"\x14"
_DNS_QR = b"\x80"
_DNS_LABEL = 13  # behind the DNS header and the label's length
_LABEL_PART = 16  # nf_tables compares at most 16 bytes at once: struct nft_data, include/net/netfilter/nf_tables.h


@dataclass(frozen=True)
class ProbeMark:
    """By what a probe's packets are recognised: 16 random bytes, and for TCP the SYN's sequence number.

    The token opens the payload of an ICMP echo and of a UDP datagram; in DNS its 32 hexadecimal digits are the
    first label of the name that is asked for. TCP carries no token.
    """

    protocol: Literal["icmp", "udp", "tcp", "dns"]
    family: Literal[4, 6]
    token: bytes
    sequence: int | None = None

    def __post_init__(self) -> None:
        if len(self.token) != 16:
            raise ValueError("a token has 16 bytes")
        if (self.sequence is not None) != (self.protocol == "tcp"):
            raise ValueError("a sequence number belongs to TCP, and TCP needs one")


@dataclass(frozen=True)
class Field:
    """Bytes at `offset` from the transport header that equal `value`, after `mask` where there is one."""

    offset: int
    value: bytes
    mask: bytes = b""


@dataclass(frozen=True)
class Answer:
    """Where a packet has the address and port that a UDP answer comes from, and the port that it goes to.

    They are learnt from the request, as it has them, and `known` of a reply. What is no reply has them `unknown`
    where a reply would have them: a server may send the token back. The address's offset counts from `base`,
    those of the ports from the transport header.
    """

    use: Literal["learn", "known", "unknown"]
    base: Literal["network", "transport"]
    address: int
    port: int
    own_port: int


@dataclass(frozen=True)
class Signature:
    """One kind of packet of the flow: the leg it belongs to, its IP protocol, and what is in it."""

    leg: Leg
    protocol: int
    fields: tuple[Field, ...] = ()
    answers: tuple[Answer, ...] = ()


def address_length(probe: ProbeMark) -> int:
    """Return the bytes of an address in the probe's family."""
    return 4 if probe.family == 4 else 16


def signatures(probe: ProbeMark) -> tuple[Signature, ...]:
    """Return the kinds of packets that belong to `probe`; a packet is of one kind at most.

    An ICMP error that embeds the request belongs to the reply's leg. Errors about the reply are not looked for:
    they tell the responder, and would be taken for a request.
    """
    return {"icmp": _echo, "udp": _udp, "tcp": _tcp, "dns": _dns}[probe.protocol](probe)


def _echo(probe: ProbeMark) -> tuple[Signature, ...]:
    protocol, token = _icmp_protocol(probe), Field(_ICMP_HEADER, probe.token)
    request = (Field(0, _ECHO_REQUEST[probe.family]), token)
    return (
        Signature("request", protocol, request),
        Signature("reply", protocol, (Field(0, _ECHO_REPLY[probe.family]), token)),
        _error(probe, protocol, request),
    )


def _udp(probe: ProbeMark) -> tuple[Signature, ...]:
    source, destination = _SOURCE[probe.family], _DESTINATION[probe.family]
    token, embedded = Field(_UDP_HEADER, probe.token), _embedded(probe)
    no_reply = Answer("unknown", "network", source, 0, 2)
    embeds_no_reply = Answer("unknown", "transport", _ICMP_HEADER + source, embedded, embedded + 2)
    return (
        Signature("request", _UDP, (token,), (no_reply, Answer("learn", "network", destination, 2, 0))),
        Signature("reply", _UDP, (), (Answer("known", "network", source, 0, 2),)),
        _error(probe, _UDP, (token,), (embeds_no_reply,)),
    )


def _dns(probe: ProbeMark) -> tuple[Signature, ...]:
    label = Field(_UDP_HEADER + _DNS_LABEL, probe.token.hex().encode()[:_LABEL_PART])
    request = (label, Field(_UDP_HEADER + 2, b"\x00", _DNS_QR))
    return (
        Signature("request", _UDP, request),
        Signature("reply", _UDP, (label, Field(_UDP_HEADER + 2, _DNS_QR, _DNS_QR))),
        _error(probe, _UDP, request),
    )


def _tcp(probe: ProbeMark) -> tuple[Signature, ...]:
    sequence = probe.sequence or 0
    sent = Field(4, sequence.to_bytes(4, "big"))
    acknowledged = Field(8, ((sequence + 1) % 2**32).to_bytes(4, "big"))
    return (
        Signature("request", _TCP, (sent, Field(13, _SYN, _SYN_ACK))),
        Signature("reply", _TCP, (acknowledged, Field(13, _SYN_ACK, _SYN_ACK))),
        Signature("reply", _TCP, (acknowledged, Field(13, _RST_ACK, _RST_ACK))),
        _error(probe, _TCP, (sent,)),  # an error need not embed more than 8 bytes of it (RFC 792): no flags
    )


def _error(probe: ProbeMark, protocol: int, request: tuple[Field, ...], answers: tuple[Answer, ...] = ()) -> Signature:
    """Return the ICMP error that embeds `request`, a packet of `protocol` (RFC 792, RFC 4443)."""
    start = _embedded(probe)
    inner = tuple(Field(start + field.offset, field.value, field.mask) for field in request)
    kind = Field(0, *_ICMP_ERROR[probe.family])
    of = Field(_ICMP_HEADER + _L4PROTO[probe.family], bytes([protocol]))
    return Signature("reply", _icmp_protocol(probe), (kind, of, *inner), answers)


def _embedded(probe: ProbeMark) -> int:
    return _ICMP_HEADER + _NETWORK_HEADER[probe.family]


def _icmp_protocol(probe: ProbeMark) -> int:
    return _ICMP if probe.family == 4 else _ICMPV6
