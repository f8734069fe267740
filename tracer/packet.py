"""Read the headers of a packet from its first bytes: the addresses, ports and numbers that identify it.

The bytes come from captured events and from sockets, so they are hostile and may be cut off anywhere: what is
not there is None, and what makes no sense gives no header. Layouts are those of RFC 791 (IPv4), RFC 8200
(IPv6), RFC 9293 (TCP), RFC 768 (UDP), RFC 792 and RFC 4443 (ICMP).
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

IpFamily: TypeAlias = Literal[4, 6]

ICMP = socket.IPPROTO_ICMP
TCP = socket.IPPROTO_TCP
UDP = socket.IPPROTO_UDP
ICMPV6 = socket.IPPROTO_ICMPV6

TCP_SYN, TCP_RST, TCP_ACK = 0x02, 0x04, 0x10

# Redirects (5) and source quenches (4) only advise: what they speak of goes on.
ICMP_ERRORS = {ICMP: frozenset({3, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}
ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}
ECHO_REPLY = {ICMP: 0, ICMPV6: 129}

_FRAGMENT, _AUTHENTICATION = 44, 51
_EXTENSIONS = frozenset({0, 43, _FRAGMENT, _AUTHENTICATION, 60, 135, 139, 140})  # RFC 8200, IANA's registry
_MOST_EXTENSIONS = 8


@dataclass(frozen=True)
class Header:
    """What identifies a packet; `protocol` is the IP protocol number of the transport header.

    `payload` is what follows the transport header, as far as it was captured. `embedded` is the packet that
    an ICMP error speaks of. A field is None where the protocol has no such thing or the bytes end before it.
    """

    family: IpFamily
    protocol: int
    source: str
    destination: str
    source_port: int | None = None
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    icmp_id: int | None = None
    icmp_sequence: int | None = None
    tcp_flags: int | None = None
    tcp_sequence: int | None = None
    tcp_acknowledgment: int | None = None
    payload: bytes = b""
    embedded: Header | None = None


def parse_packet(packet: bytes) -> Header | None:
    """Return the headers of `packet`, which starts at its IPv4 or IPv6 header; None when it is neither."""
    return _parse(packet, embedded=False)


def without_trailer(data: bytes) -> bytes:
    """Return the packet that `data` starts with, without what lies behind its end in memory.

    Its length is what its header says; where that says nothing, `data` is returned as it is.
    """
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        return data[: struct.unpack_from("!H", data, 2)[0] or len(data)]
    if version == 6 and len(data) >= 40:
        payload = struct.unpack_from("!H", data, 4)[0]
        return data[: 40 + payload if payload else len(data)]
    return data


def endpoint_text(address: str, port: int | None) -> str:
    """Return address and port as `10.0.0.2:53` or `[fd00::2]:53`, and the address alone without a port."""
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _parse(packet: bytes, *, embedded: bool) -> Header | None:
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return _parse_ipv4(packet, embedded)
    if version == 6:
        return _parse_ipv6(packet, embedded)
    return None


def _parse_ipv4(packet: bytes, embedded: bool) -> Header | None:
    if len(packet) < 20:
        return None
    words, total, fragment = packet[0] & 0x0F, *struct.unpack_from("!H2xH", packet, 2)
    length = 4 * words
    if length < 20:
        return None
    end = total if total >= length else len(packet)  # 0 in an offloaded packet that is too long for it
    network = Header(
        family=4,
        protocol=packet[9],
        source=socket.inet_ntop(socket.AF_INET, packet[12:16]),
        destination=socket.inet_ntop(socket.AF_INET, packet[16:20]),
    )
    first = not fragment & 0x1FFF
    return _transport(network, packet[length:end], embedded) if first else network


def _parse_ipv6(packet: bytes, embedded: bool) -> Header | None:
    if len(packet) < 40:
        return None
    (length,) = struct.unpack_from("!H", packet, 4)
    end = 40 + length if length else len(packet)
    protocol, body = _skip_extensions(packet[6], packet[40:end])
    network = Header(
        family=6,
        protocol=protocol,
        source=socket.inet_ntop(socket.AF_INET6, packet[8:24]),
        destination=socket.inet_ntop(socket.AF_INET6, packet[24:40]),
    )
    return _transport(network, body, embedded)


def _skip_extensions(protocol: int, body: bytes) -> tuple[int, bytes]:
    """Return the upper-layer protocol and its bytes: none in any but a packet's first fragment."""
    for _ in range(_MOST_EXTENSIONS):
        if protocol not in _EXTENSIONS or len(body) < 8:
            break
        if protocol == _FRAGMENT:
            (offset,) = struct.unpack_from("!H", body, 2)
            if offset & 0xFFF8:
                return body[0], b""
            size = 8
        elif protocol == _AUTHENTICATION:
            size = 4 * (body[1] + 2)  # RFC 4302 counts this one in words of 4 bytes
        else:
            size = 8 * (body[1] + 1)
        protocol, body = body[0], body[size:]
    return protocol, body


def _transport(network: Header, body: bytes, embedded: bool) -> Header:
    if network.protocol == TCP and len(body) >= 4:
        return _tcp(network, body)
    if network.protocol == UDP and len(body) >= 4:
        source_port, destination_port = struct.unpack_from("!HH", body)
        return replace(network, source_port=source_port, destination_port=destination_port, payload=body[8:])
    if network.protocol in ICMP_ERRORS and len(body) >= 2:
        return _icmp(network, body, embedded)
    return network


def _tcp(network: Header, body: bytes) -> Header:
    def number(layout: str, offset: int, end: int) -> int | None:
        return int(struct.unpack_from(layout, body, offset)[0]) if len(body) >= end else None

    source_port, destination_port = struct.unpack_from("!HH", body)
    data = 4 * (body[12] >> 4) if len(body) > 12 else 0
    return replace(
        network,
        source_port=source_port,
        destination_port=destination_port,
        tcp_sequence=number("!I", 4, 8),
        tcp_acknowledgment=number("!I", 8, 12),
        tcp_flags=number("B", 13, 14),
        payload=body[data:] if data >= 20 else b"",
    )


def _icmp(network: Header, body: bytes, embedded: bool) -> Header:
    kind, code = body[0], body[1]
    if kind in ICMP_ERRORS[network.protocol]:
        # An error about an error is never sent (RFC 1122, 3.2.2), so one level deep is all there is.
        inner = None if embedded else _parse(body[8:], embedded=True)
        return replace(network, icmp_type=kind, icmp_code=code, embedded=inner)
    echo = kind in {ECHO_REQUEST[network.protocol], ECHO_REPLY[network.protocol]} and len(body) >= 8
    identifier, sequence = struct.unpack_from("!HH", body, 4) if echo else (None, None)
    return replace(
        network,
        icmp_type=kind,
        icmp_code=code,
        icmp_id=identifier,
        icmp_sequence=sequence,
        payload=body[8:] if echo else b"",
    )
