"""Tell the probe's answers from all other packets."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tracer.endpoints.model import Protocol
from tracer.events import SocketEvent
from tracer.packet import (
    ECHO_REPLY,
    ICMP,
    ICMPV6,
    TCP,
    TCP_ACK,
    TCP_RST,
    TCP_SYN,
    UDP,
    Header,
    parse_packet,
)
from tracer.probe.model import Answer, AnswerKind, Probe

_DNS_RESPONSE = 0x8000  # RFC 1035, 4.1.1: the QR bit
_DNS_HEADER_BYTES = 12


def answer_kind(probe: Probe, packet: bytes) -> AnswerKind | None:
    """Return what `packet`, from its network header on, is to the probe; None when it is no answer to it.

    Where an answer comes from is not asked: NAT may have changed it, and that is for others to judge.
    """
    header = parse_packet(packet)
    if header is None or header.family != probe.family:
        return None
    if header.embedded:
        return "icmp_error" if _is_probe(probe, header.embedded) else None
    return _KINDS[probe.protocol](probe, header)


def _is_probe(probe: Probe, embedded: Header) -> bool:
    """Tell whether an ICMP error speaks of the probe: it may hold no more than 8 bytes past the IP header."""
    sent = parse_packet(probe.packet)
    if sent is None or embedded.protocol != sent.protocol:
        return False
    if sent.protocol in {ICMP, ICMPV6}:
        return _echo_numbers(embedded) == _echo_numbers(sent) and embedded.icmp_type == sent.icmp_type
    same_port = embedded.source_port == sent.source_port
    if sent.protocol == TCP:
        return same_port and embedded.tcp_sequence == sent.tcp_sequence
    return same_port and sent.payload.startswith(embedded.payload)


def _echo_numbers(header: Header) -> tuple[int | None, int | None]:
    return header.icmp_id, header.icmp_sequence


def _echo(probe: Probe, header: Header) -> AnswerKind | None:
    ours = (
        header.icmp_type == ECHO_REPLY.get(header.protocol)
        and _echo_numbers(header) == (probe.icmp_id, probe.icmp_sequence)
        and header.payload.startswith(probe.token)
    )
    return "reply" if ours else None


def _datagram(probe: Probe, header: Header) -> AnswerKind | None:
    if header.protocol != UDP or header.destination_port != probe.source_port:
        return None
    echoed = header.payload.startswith(probe.token)
    return "reply" if echoed or header.source_port == probe.port else None


def _response(probe: Probe, header: Header) -> AnswerKind | None:
    if header.protocol != UDP or header.destination_port != probe.source_port:
        return None
    if len(header.payload) < _DNS_HEADER_BYTES:
        return None
    number, flags, questions = struct.unpack_from("!HHH", header.payload)
    if number != probe.dns_id or not flags & _DNS_RESPONSE:
        return None
    # A server that refuses need not repeat the question; one that does may change its letters' case.
    label = bytes([2 * len(probe.token)]) + probe.token.hex().encode()
    same = header.payload[_DNS_HEADER_BYTES:].lower().startswith(label)
    return "reply" if same or questions == 0 else None


def _segment(probe: Probe, header: Header) -> AnswerKind | None:
    ours = (
        header.protocol == TCP
        and header.destination_port == probe.source_port
        and header.tcp_acknowledgment == (probe.tcp_sequence + 1) % 2**32
    )
    flags = header.tcp_flags or 0
    if not ours or not flags & TCP_ACK:
        return None
    if flags & TCP_RST:
        return "rst"
    return "syn_ack" if flags & TCP_SYN else None


_KINDS: dict[Protocol, Callable[[Probe, Header], AnswerKind | None]] = {
    "icmp": _echo,
    "udp": _datagram,
    "dns": _response,
    "tcp": _segment,
}


def answer_event(answer: Answer, netns: str) -> SocketEvent:
    """Return the answer as an event of the namespace labelled `netns`."""
    return SocketEvent(answer.at_ns, netns, "reply", "received", answer.packet)
