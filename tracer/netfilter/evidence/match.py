"""Recognise the probe's packets in packet bytes, by the same signatures as the rules in the kernel."""

from __future__ import annotations

from collections.abc import Container, Iterable

from tracer.events import Leg
from tracer.netfilter.evidence.signature import Answer, Field, Signature


def leg_of(packet: bytes, candidates: Iterable[Signature], answers: Container[bytes] = frozenset()) -> Leg | None:
    """Return the leg that `packet` belongs to, None when it is somebody else's.

    `packet` starts at the network header and may be cut off. `answers` are the keys that `Mark.answers` returns.
    IPv6 extension headers are not looked behind: neither we nor the kernel's ICMPv6 errors send any.
    """
    place = _transport(packet)
    if place is None:
        return None
    protocol, start = place
    for signature in candidates:
        if signature.protocol == protocol and _matches(packet, start, signature, answers):
            return signature.leg
    return None


def _transport(packet: bytes) -> tuple[int, int] | None:
    """Return the IP protocol and the offset of the transport header; none in a later fragment."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        fragment = int.from_bytes(packet[6:8], "big") & 0x1FFF
        return None if fragment else (packet[9], 4 * (packet[0] & 0x0F))
    if version == 6 and len(packet) >= 40:
        return packet[6], 40
    return None


def _matches(packet: bytes, start: int, signature: Signature, answers: Container[bytes]) -> bool:
    if not all(_equals(packet, start + field.offset, field) for field in signature.fields):
        return False
    answer = signature.answer
    if answer is None or answer.use == "learn":
        return True
    return (_answer_key(packet, start, answer) in answers) == (answer.use == "known")


def _equals(packet: bytes, offset: int, field: Field) -> bool:
    found = packet[offset : offset + len(field.value)]
    if field.mask:
        found = bytes(byte & mask for byte, mask in zip(found, field.mask, strict=False))
    return found == field.value


def _answer_key(packet: bytes, start: int, answer: Answer) -> bytes:
    """Return the key as the nf_tables set holds it: each part padded to registers of 4 bytes."""
    length = 4 if packet[0] >> 4 == 4 else 16
    address = answer.address + (start if answer.base == "transport" else 0)
    ports = (packet[start + offset :][:2] for offset in (answer.port, answer.own_port))
    return packet[address : address + length] + b"".join(port.ljust(4, b"\0") for port in ports)
