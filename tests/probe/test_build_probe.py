from __future__ import annotations

import pytest
from probes import ADDRESSES, PORTS, SOURCE_PORT, TOKEN, probe_of
from scapy.layers.dns import DNS
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from tracer.packet import TCP_SYN, parse_packet
from tracer.probe.model import new_token

FAMILIES = pytest.mark.parametrize("family", [4, 6])
PROTOCOLS = pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp", "dns"])
NETWORK_BYTES = {4: 20, 6: 40}


@FAMILIES
@PROTOCOLS
def test_the_packet_is_complete_and_its_checksums_hold(protocol, family):
    probe = probe_of(protocol, family)
    layer = {4: IP, 6: IPv6}[family]
    again = layer(probe.packet)
    for header in again.iterpayloads():
        if hasattr(header, "chksum"):
            del header.chksum
        if hasattr(header, "cksum"):
            del header.cksum
    assert bytes(again) == probe.packet
    parsed = parse_packet(probe.packet)
    assert (parsed.source, parsed.destination) == ADDRESSES[family]
    if protocol != "icmp":
        assert (parsed.source_port, parsed.destination_port) == (SOURCE_PORT, PORTS[protocol])


@PROTOCOLS
def test_ipv4_is_not_fragmented_and_keeps_its_identification(protocol):
    header = IP(probe_of(protocol, 4).packet)
    assert (header.flags, header.ttl, header.id) == ("DF", 64, 0xEAEB)


def test_an_identification_of_zero_would_be_changed_by_the_kernel():
    assert IP(probe_of("icmp", 4, bytes(16)).packet).id == 1


@PROTOCOLS
def test_ipv6_hop_limit(protocol):
    assert IPv6(probe_of(protocol, 6).packet).hlim == 64


@FAMILIES
def test_an_echo_request_is_as_long_as_pings_and_begins_with_the_token(family):
    parsed = parse_packet(probe_of("icmp", family).packet)
    assert parsed.icmp_type == {4: 8, 6: 128}[family]
    assert (parsed.icmp_id, parsed.icmp_sequence) == (0xE4E5, 0xE6E7)
    assert parsed.payload.startswith(TOKEN)
    assert len(parsed.payload) == 56


@FAMILIES
def test_a_datagram_begins_with_the_token(family):
    assert parse_packet(probe_of("udp", family).packet).payload.startswith(TOKEN)


@FAMILIES
def test_a_syn_carries_the_token_in_its_sequence_number(family):
    parsed = parse_packet(probe_of("tcp", family).packet)
    assert (parsed.tcp_flags, parsed.tcp_sequence) == (TCP_SYN, 0xE0E1E2E3)
    assert parsed.payload == b""
    segment = TCP(probe_of("tcp", family).packet[NETWORK_BYTES[family] :])
    assert segment.options == [("MSS", {4: 1460, 6: 1440}[family])]


@FAMILIES
def test_a_query_has_the_token_at_a_fixed_place(family):
    payload = parse_packet(probe_of("dns", family).packet).payload
    assert payload[12:45] == b"\x20" + TOKEN.hex().encode()
    query = DNS(payload)
    assert (query.id, query.rd, query.qr) == (0xE8E9, 1, 0)
    assert query.qd[0].qname == TOKEN.hex().encode() + b".svc.cluster.local."
    assert query.qd[0].qtype == 1


def test_tokens_are_random():
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) == 16
