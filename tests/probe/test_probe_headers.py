from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from tracer.packet import UDP as UDP_PROTOCOL
from tracer.probe.headers import ip_packet, udp_datagram


@pytest.mark.parametrize("payload", [b"", b"odd", b"even", b"\xff" * 1400])
@pytest.mark.parametrize(
    "network",
    [
        IP(src="10.0.0.1", dst="10.0.0.2", ttl=63, tos=0x10, id=0),
        IPv6(src="fd00::1", dst="fd00::2", hlim=63, tc=0x10),
    ],
)
def test_headers_are_those_that_scapy_writes(network, payload):
    source, destination = network.src, network.dst
    datagram = udp_datagram(source, 53, destination, 40000, payload)
    rebuilt = ip_packet(source, destination, UDP_PROTOCOL, datagram, hop_limit=63, traffic_class=0x10)
    assert rebuilt == bytes(network / UDP(sport=53, dport=40000) / payload)


def test_a_scope_is_left_out():
    assert ip_packet("fe80::1%eth0", "fd00::2", 58, b"", hop_limit=1, traffic_class=0)[8:10] == b"\xfe\x80"
