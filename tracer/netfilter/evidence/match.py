"""Recognise the probe's packets in packet bytes, by the same signatures as the rules in the kernel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracer.events import Leg
from tracer.netfilter.evidence.signature import Answer, Field, Signature

_PORT = 4  # bytes of a port in a key of an nf_tables set: padded to a register


@dataclass(frozen=True)
class KnownAnswers:
    """Where UDP answers come from (address and port) and the ports that they go to, as nf_tables' set has them.

    Their parts are kept apart: a reply on its way back through NAT may have the one already as it was before
    translation, and the other still as it was after.
    """

    remotes: frozenset[bytes] = frozenset()
    own_ports: frozenset[bytes] = frozenset()


def known_answers(keys: Iterable[bytes]) -> KnownAnswers:
    """Return the parts of the keys of the set of answers."""
    both = [(key[:-_PORT], key[-_PORT:]) for key in keys]
    return KnownAnswers(frozenset(remote for remote, _ in both), frozenset(port for _, port in both))


def leg_of(packet: bytes, candidates: Iterable[Signature], known: KnownAnswers) -> Leg | None:
    """Return the leg that `packet` belongs to, None when it is somebody else's.

    `packet` starts at the network header and may be cut off. IPv6 extension headers are not looked behind: neither
    we nor the kernel's ICMPv6 errors send any.
    """
    place = _transport(packet)
    if place is None:
        return None
    protocol, start = place
    for kind in candidates:
        matches = kind.protocol == protocol and all(_has(packet, start, field) for field in kind.fields)
        if matches and all(_agrees(packet, start, answer, known) for answer in kind.answers):
            return kind.leg
    return None


def may_be_of(headers: bytes, leg: Leg, candidates: Iterable[Signature]) -> bool:
    """Tell whether the first bytes of a packet, as many as there are, can be those of a packet of `leg`."""
    place = _transport(headers)
    if place is None:
        return False
    protocol, start = place
    return any(
        kind.leg == leg and kind.protocol == protocol and all(_may_have(headers, start, field) for field in kind.fields)
        for kind in candidates
    )


def _transport(packet: bytes) -> tuple[int, int] | None:
    """Return the IP protocol and the offset of the transport header; none in a later fragment."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        fragment = int.from_bytes(packet[6:8], "big") & 0x1FFF
        return None if fragment else (packet[9], 4 * (packet[0] & 0x0F))
    if version == 6 and len(packet) >= 40:
        return packet[6], 40
    return None


def _has(packet: bytes, start: int, field: Field) -> bool:
    return _found(packet, start, field) == field.value


def _may_have(packet: bytes, start: int, field: Field) -> bool:
    return field.value.startswith(_found(packet, start, field))


def _found(packet: bytes, start: int, field: Field) -> bytes:
    """Return what `packet` has in the field's place: fewer bytes where it is cut off."""
    found = packet[start + field.offset :][: len(field.value)]
    if not field.mask:
        return found
    return bytes(byte & mask for byte, mask in zip(found, field.mask, strict=False))


def _agrees(packet: bytes, start: int, answer: Answer, known: KnownAnswers) -> bool:
    if answer.use == "learn":
        return True
    address = answer.address + (start if answer.base == "transport" else 0)
    length = 4 if packet[0] >> 4 == 4 else 16
    port, own_port = (packet[start + offset :][:2].ljust(_PORT, b"\0") for offset in (answer.port, answer.own_port))
    is_known = packet[address : address + length] + port in known.remotes and own_port in known.own_ports
    return is_known == (answer.use == "known")
