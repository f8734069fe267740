"""Make the probe's packet with scapy.

Loading scapy's layers takes longer than anything else here, so this is the only module that does it, and it
runs in a process of its own (tracer.probe.builder), which loads them while the tool does other things.
"""

from __future__ import annotations

import dataclasses

from scapy.config import conf

# The route tables that scapy reads as it loads are for packets that it sends itself, which it never does here.
conf.route_autoload = conf.route6_autoload = False

from scapy.layers.dns import DNS, DNSQR  # noqa: E402
from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6  # noqa: E402
from scapy.packet import Packet  # noqa: E402

from tracer.endpoints.model import ResolvedFlow  # noqa: E402
from tracer.probe.model import Probe, probe_for  # noqa: E402

HOP_LIMIT = 64
ECHO_BYTES = 56  # what ping(8) sends
SIGNATURE = b" probe by tracer"  # for whoever meets the packet elsewhere
SEGMENT_BYTES = {4: 1460, 6: 1440}  # an Ethernet frame less the IP and TCP headers


def build_probe(flow: ResolvedFlow, token: bytes, source_port: int | None) -> Probe:
    """Return the probe for `flow`, which carries `token`; `source_port` is a port of ours, None for ICMP."""
    probe = probe_for(flow, token, source_port)
    return dataclasses.replace(probe, packet=build_packet(probe))


def build_packet(probe: Probe) -> bytes:
    """Return the complete packet of `probe`, from its network header."""
    return bytes(_network(probe) / _transport(probe))


def _network(probe: Probe) -> Packet:
    if probe.family == 4:
        return IP(src=probe.source, dst=probe.destination, ttl=HOP_LIMIT, flags="DF", id=probe.ip_id)
    return IPv6(src=probe.source, dst=probe.destination, hlim=HOP_LIMIT)


def _transport(probe: Probe) -> Packet:
    if probe.protocol == "icmp":
        return _echo(probe)
    if probe.protocol == "tcp":
        options = [("MSS", SEGMENT_BYTES[probe.family])]
        return TCP(sport=probe.source_port, dport=probe.port, seq=probe.tcp_sequence, flags="S", options=options)
    datagram = UDP(sport=probe.source_port, dport=probe.port)
    if probe.protocol == "dns":
        return datagram / DNS(id=probe.dns_id, rd=1, qd=DNSQR(qname=probe.dns_name, qtype="A"))
    return datagram / (probe.token + SIGNATURE)


def _echo(probe: Probe) -> Packet:
    data = (probe.token + SIGNATURE).ljust(ECHO_BYTES, b".")
    if probe.family == 4:
        return ICMP(type="echo-request", id=probe.icmp_id, seq=probe.icmp_sequence) / data
    return ICMPv6EchoRequest(id=probe.icmp_id, seq=probe.icmp_sequence, data=data)
