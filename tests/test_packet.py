from __future__ import annotations

import random
import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPerror, IPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)

from tracer import packet
from tracer.packet import Header, endpoint_text, parse_packet

V4 = {"src": "10.0.0.1", "dst": "10.0.0.2"}
V6 = {"src": "fd00::1", "dst": "fd00::2"}


def test_udp_in_ipv4():
    assert parse_packet(bytes(IP(**V4) / UDP(sport=1234, dport=53) / b"payload")) == Header(
        family=4,
        protocol=packet.UDP,
        source="10.0.0.1",
        destination="10.0.0.2",
        source_port=1234,
        destination_port=53,
        payload=b"payload",
    )


def test_tcp_in_ipv6():
    segment = TCP(sport=1, dport=2, seq=0xFFFFFFFF, ack=7, flags="SA", options=[("MSS", 1440)])
    assert parse_packet(bytes(IPv6(**V6) / segment / b"data")) == Header(
        family=6,
        protocol=packet.TCP,
        source="fd00::1",
        destination="fd00::2",
        source_port=1,
        destination_port=2,
        tcp_flags=packet.TCP_SYN | packet.TCP_ACK,
        tcp_sequence=0xFFFFFFFF,
        tcp_acknowledgment=7,
        payload=b"data",
    )


@pytest.mark.parametrize(
    "built, kind",
    [
        (IP(**V4) / ICMP(type=8, id=7, seq=9) / b"token", 8),
        (IP(**V4) / ICMP(type=0, id=7, seq=9) / b"token", 0),
        (IPv6(**V6) / ICMPv6EchoRequest(id=7, seq=9, data=b"token"), 128),
        (IPv6(**V6) / ICMPv6EchoReply(id=7, seq=9, data=b"token"), 129),
    ],
)
def test_echo(built, kind):
    header = parse_packet(bytes(built))
    assert (header.icmp_type, header.icmp_code, header.icmp_id, header.icmp_sequence) == (kind, 0, 7, 9)
    assert header.payload == b"token"
    assert header.embedded is None


@pytest.mark.parametrize(
    "built",
    [
        IP(**V4) / ICMP(type=3, code=3) / IPerror(src="10.0.0.2", dst="10.0.0.3") / UDP(sport=5, dport=6) / b"x",
        IPv6(**V6) / ICMPv6DestUnreach(code=4) / IPv6(src="fd00::2", dst="fd00::3") / UDP(sport=5, dport=6) / b"x",
    ],
)
def test_icmp_error_carries_the_packet_that_it_speaks_of(built):
    header = parse_packet(bytes(built))
    inner = header.embedded
    assert (inner.source[-1], inner.destination[-1]) == ("2", "3")
    assert (inner.source_port, inner.destination_port, inner.payload) == (5, 6, b"x")


def test_embedded_packet_of_eight_bytes_keeps_ports_and_sequence():
    inner = bytes(IP(**V4) / TCP(sport=1, dport=2, seq=3))[:28]
    header = parse_packet(bytes(IP(**V4) / ICMP(type=11) / inner))
    assert header.embedded.source_port == 1
    assert header.embedded.tcp_sequence == 3
    assert header.embedded.tcp_flags is None


def test_errors_do_not_nest():
    error = IP(**V4) / ICMPerror(type=3, code=1) / IP(**V4) / UDP()
    assert parse_packet(bytes(IP(**V4) / ICMP(type=3) / error)).embedded.embedded is None


@pytest.mark.parametrize(
    "extensions",
    [
        IPv6ExtHdrHopByHop(),
        IPv6ExtHdrDestOpt(),
        IPv6ExtHdrFragment(offset=0, m=1, id=1),
        IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(),
    ],
)
def test_ipv6_extension_headers_are_passed_over(extensions):
    header = parse_packet(bytes(IPv6(**V6) / extensions / UDP(sport=5, dport=6)))
    assert (header.protocol, header.source_port, header.destination_port) == (packet.UDP, 5, 6)


def test_ipv6_authentication_header_is_passed_over():
    authentication = bytes([packet.UDP, 4]) + bytes(22)  # RFC 4302: 6 words of 4 bytes, less 2
    header = parse_packet(bytes(IPv6(**V6, nh=51) / authentication / UDP(sport=5, dport=6)))
    assert (header.protocol, header.source_port, header.destination_port) == (packet.UDP, 5, 6)


@pytest.mark.parametrize(
    "built",
    [
        IP(**V4, frag=100) / UDP(sport=5, dport=6),
        IPv6(**V6) / IPv6ExtHdrFragment(offset=100, nh=17) / UDP(sport=5, dport=6),
    ],
)
def test_later_fragments_have_no_ports(built):
    header = parse_packet(bytes(built))
    assert header.protocol == packet.UDP
    assert header.source_port is None


def test_padding_behind_the_packet_is_no_payload():
    assert parse_packet(bytes(IP(**V4) / UDP() / b"abc") + b"\0" * 20).payload == b"abc"
    assert parse_packet(bytes(IPv6(**V6) / UDP() / b"abc") + b"\0" * 20).payload == b"abc"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0",
        b"\x45" + b"\0" * 18,  # one byte short
        b"\x44" + b"\0" * 40,  # a header length below 20
        b"\x60" + b"\0" * 38,
        b"\x50" + b"\0" * 60,  # IP version 5
        b"\xff" * 128,
    ],
)
def test_garbage_is_no_packet(garbage):
    assert parse_packet(garbage) is None


def test_any_cut_of_a_packet_is_read_without_error():
    built = bytes(IPv6(**V6) / IPv6ExtHdrHopByHop() / TCP(options=[("MSS", 1440)]) / (b"x" * 40))
    for length in range(len(built) + 1):
        header = parse_packet(built[:length])
        assert (header is None) == (length < 40)


def test_no_bytes_at_all_make_it_fail():
    chance = random.Random(4)  # the same bytes in each run
    shapes = [
        bytes(IP(**V4) / ICMP(type=3) / IP(**V4) / TCP()),
        bytes(IPv6(**V6) / IPv6ExtHdrFragment() / ICMPv6DestUnreach() / IPv6(**V6) / UDP()),
    ]
    for _ in range(20_000):
        raw = bytearray(chance.choice(shapes))
        for _ in range(chance.randrange(1, 12)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        header = parse_packet(bytes(raw[: chance.randrange(len(raw) + 1)]))
        if header is not None:
            endpoint_text(header.source, header.source_port)


def test_extension_headers_without_end_are_given_up():
    endless = struct.pack("!BB6x", 0, 0) * 100
    header = parse_packet(bytes(IPv6(**V6, nh=0) / endless))
    assert header.source_port is None


@pytest.mark.parametrize(
    "address, port, text",
    [
        ("10.0.0.2", 53, "10.0.0.2:53"),
        ("fd00::2", 53, "[fd00::2]:53"),
        ("10.0.0.2", None, "10.0.0.2"),
        ("fd00::2", None, "fd00::2"),
    ],
)
def test_endpoint_text(address, port, text):
    assert endpoint_text(address, port) == text


@pytest.mark.parametrize("header", [IP(**V4), IPv6(**V6)])
def test_memory_behind_the_packet_is_no_part_of_it(header):
    whole = bytes(header / UDP(sport=5, dport=6) / b"payload")
    assert packet.without_trailer(whole + b"somebody else's secret") == whole
    assert packet.without_trailer(whole) == whole
    for size in range(len(whole)):
        assert packet.without_trailer(whole[:size]) == whole[:size]


def test_a_length_of_nothing_tells_no_end():
    """Of offloaded packets that are too long for the field (include/linux/ip.h, iph_set_totlen; RFC 2675)."""
    four, six = bytearray(bytes(IP(**V4) / b"payload")), bytearray(bytes(IPv6(**V6) / b"payload"))
    four[2:4] = six[4:6] = b"\0\0"
    assert packet.without_trailer(bytes(four)) == four
    assert packet.without_trailer(bytes(six)) == six
