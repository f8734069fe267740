"""What comes back for a probe, and what only looks like it; packets are bytes from their network header."""

from __future__ import annotations

from scapy.layers.dns import DNS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, IPv6
from scapy.packet import Packet, Raw

from tracer.probe.model import Probe


def reply_to(probe: Probe) -> bytes:
    """Return what the destination answers: an echo reply, a datagram, a SYN-ACK or a DNS response."""
    return bytes(_back(probe) / _REPLIES[probe.protocol](probe))


def reset_of(probe: Probe) -> bytes:
    """Return the reset with which a closed port answers a SYN (RFC 9293, 3.10.7.1)."""
    return bytes(_back(probe) / TCP(sport=probe.port, dport=probe.source_port, flags="RA", ack=_acknowledgment(probe)))


def error_about(family: int, packet: bytes, router: str | None = None) -> bytes:
    """Return the ICMP error `port unreachable` that embeds `packet`; `router` is who sends it, if not its receiver."""
    header = {4: IP, 6: IPv6}[family](packet)
    back = {4: IP, 6: IPv6}[family](src=router or header.dst, dst=header.src)
    error = ICMP(type=3, code=3) if family == 4 else ICMPv6DestUnreach(code=4)
    return bytes(back / error / Raw(packet))


def _back(probe: Probe) -> Packet:
    return {4: IP, 6: IPv6}[probe.family](src=probe.destination, dst=probe.source)


def _acknowledgment(probe: Probe) -> int:
    return (probe.tcp_sequence + 1) % 2**32


def _echo_reply(probe: Probe) -> Packet:
    if probe.family == 4:
        return ICMP(type=0, id=probe.icmp_id, seq=probe.icmp_sequence) / Raw(probe.token + b"rest")
    return ICMPv6EchoReply(id=probe.icmp_id, seq=probe.icmp_sequence, data=probe.token + b"rest")


def _datagram(probe: Probe) -> Packet:
    return UDP(sport=probe.port, dport=probe.source_port) / Raw(b"anything")


def _dns_response(probe: Probe) -> Packet:
    query = {4: IP, 6: IPv6}[probe.family](probe.packet)[DNS]
    response = DNS(id=query.id, qr=1, rd=1, ra=1, rcode=3, qd=query.qd)
    return UDP(sport=probe.port, dport=probe.source_port) / response


def _syn_ack(probe: Probe) -> Packet:
    return TCP(sport=probe.port, dport=probe.source_port, flags="SA", seq=7, ack=_acknowledgment(probe))


_REPLIES = {"icmp": _echo_reply, "udp": _datagram, "dns": _dns_response, "tcp": _syn_ack}
