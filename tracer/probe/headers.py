"""Write the headers that sockets keep to themselves: UDP sockets and those of IPv6 hand out what follows."""

from __future__ import annotations

import ipaddress
import struct

from tracer.packet import UDP


def checksum(data: bytes) -> int:
    """Return the internet checksum of `data` (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(
    source: str, destination: str, protocol: int, body: bytes, *, hop_limit: int, traffic_class: int
) -> bytes:
    """Return `body` behind an IPv4 or IPv6 header, as the addresses have it."""
    from_bytes, to_bytes = _packed(source), _packed(destination)
    if len(from_bytes) == 16:
        first = 6 << 28 | traffic_class << 20
        return struct.pack("!IHBB", first, len(body), protocol, hop_limit) + from_bytes + to_bytes + body
    layout, length = "!BBHHHBBH4s4s", 20 + len(body)
    fields = (0x45, traffic_class, length, 0, 0, hop_limit, protocol)
    unchecked = struct.pack(layout, *fields, 0, from_bytes, to_bytes)
    return struct.pack(layout, *fields, checksum(unchecked), from_bytes, to_bytes) + body


def udp_datagram(source: str, source_port: int, destination: str, destination_port: int, payload: bytes) -> bytes:
    """Return `payload` behind a UDP header, with the checksum over the pseudo header (RFC 768, RFC 8200)."""
    length = 8 + len(payload)
    ports = struct.pack("!HHH", source_port, destination_port, length)
    pseudo = _packed(source) + _packed(destination) + struct.pack("!HH", UDP, length)
    summed = checksum(pseudo + ports + b"\0\0" + payload) or 0xFFFF
    return ports + struct.pack("!H", summed) + payload


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address.partition("%")[0]).packed
