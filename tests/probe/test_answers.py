from __future__ import annotations

import pytest
from probes import ADDRESSES, PORTS, SOURCE_PORT, TOKEN, probe_of
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6

from tracer.events import SocketEvent
from tracer.packet import ECHO_REPLY
from tracer.probe.answers import answer_event, answer_kind
from tracer.probe.model import Answer

FAMILIES = pytest.mark.parametrize("family", [4, 6])
PROTOCOLS = pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp", "dns"])
HEX = TOKEN.hex()
NEXT = 0xE0E1E2E4  # what acknowledges the probe's SYN


def back(family: int):
    """Return the network header of an answer."""
    source, destination = ADDRESSES[family]
    return (IP if family == 4 else IPv6)(src=destination, dst=source)


def unreachable(family: int):
    return ICMP(type=3, code=1) if family == 4 else ICMPv6DestUnreach(code=1)


def echo_reply(family: int, number=0xE4E5, sequence=0xE6E7, data=TOKEN):
    if family == 4:
        return back(4) / ICMP(type=ECHO_REPLY[1], id=number, seq=sequence) / data
    return back(6) / ICMPv6EchoReply(id=number, seq=sequence, data=data)


def datagram(family: int, data: bytes, sport: int = PORTS["udp"], dport: int = SOURCE_PORT):
    return back(family) / UDP(sport=sport, dport=dport) / data


def segment(family: int, flags: str, ack: int = NEXT, dport: int = SOURCE_PORT):
    return back(family) / TCP(sport=PORTS["tcp"], dport=dport, flags=flags, ack=ack)


def response(family: int, number=0xE8E9, qr=1, label: str | None = HEX, dport=SOURCE_PORT):
    questions = DNSQR(qname=f"{label}.svc.cluster.local.") if label else None
    message = DNS(id=number, qr=qr, rcode=3, qd=[questions] if questions else [])
    return back(family) / UDP(sport=53, dport=dport) / message


@FAMILIES
def test_answers(family):
    def kind(protocol, packet):
        return answer_kind(probe_of(protocol, family), bytes(packet))

    assert kind("icmp", echo_reply(family)) == "reply"
    assert kind("udp", datagram(family, b"anything")) == "reply"
    assert kind("udp", datagram(family, TOKEN, sport=7)) == "reply"
    assert kind("tcp", segment(family, "SA")) == "syn_ack"
    assert kind("tcp", segment(family, "RA")) == "rst"
    assert kind("dns", response(family)) == "reply"
    assert kind("dns", response(family, label=HEX.upper())) == "reply"
    assert kind("dns", response(family, label=None)) == "reply"


@FAMILIES
@PROTOCOLS
@pytest.mark.parametrize("kept", [8, 36, 2000])
def test_icmp_errors_about_the_probe(family, protocol, kept):
    probe = probe_of(protocol, family)
    quoted = probe.packet[: {4: 20, 6: 40}[family] + kept]
    assert answer_kind(probe, bytes(back(family) / unreachable(family) / quoted)) == "icmp_error"


@FAMILIES
@PROTOCOLS
def test_icmp_errors_about_other_packets(family, protocol):
    probe = probe_of(protocol, family)
    for other in ("icmp", "udp", "tcp"):
        quoted = probe_of(other, family, b"\x11" * 16).packet
        assert answer_kind(probe, bytes(back(family) / unreachable(family) / quoted)) is None


@FAMILIES
def test_what_only_looks_like_an_answer(family):
    def kind(protocol, packet):
        return answer_kind(probe_of(protocol, family), bytes(packet))

    assert kind("icmp", echo_reply(family, number=1)) is None
    assert kind("icmp", echo_reply(family, sequence=1)) is None
    assert kind("icmp", echo_reply(family, data=b"other")) is None
    assert kind("udp", datagram(family, b"anything", sport=7)) is None
    assert kind("udp", datagram(family, TOKEN, dport=1)) is None
    assert kind("tcp", segment(family, "SA", ack=1)) is None
    assert kind("tcp", segment(family, "RA", dport=1)) is None
    assert kind("tcp", segment(family, "A")) is None
    assert kind("tcp", segment(family, "R")) is None
    assert kind("dns", response(family, number=1)) is None
    assert kind("dns", response(family, qr=0)) is None
    assert kind("dns", response(family, label="ab" * 16)) is None
    assert kind("dns", response(family, dport=1)) is None
    assert kind("dns", datagram(family, b"short")) is None


@FAMILIES
@PROTOCOLS
def test_the_probe_is_no_answer_to_itself(family, protocol):
    probe = probe_of(protocol, family)
    assert answer_kind(probe, probe.packet) is None


def test_an_echo_request_that_comes_in_is_no_reply():
    request = IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(id=0xE4E5, seq=0xE6E7, data=TOKEN)
    assert answer_kind(probe_of("icmp", 6), bytes(request)) is None


@PROTOCOLS
def test_the_other_family_is_no_answer(protocol):
    assert answer_kind(probe_of(protocol, 4), bytes(echo_reply(6))) is None


@FAMILIES
@PROTOCOLS
@pytest.mark.parametrize("garbage", [b"", b"\x45", b"\xff" * 60, b"\x45" + b"\0" * 60, b"\x60" + b"\0" * 60])
def test_garbage_is_no_answer(family, protocol, garbage):
    assert answer_kind(probe_of(protocol, family), garbage) is None


def test_the_sequence_number_wraps():
    probe = probe_of("tcp", 4, b"\xff" * 16)
    assert answer_kind(probe, bytes(segment(4, "SA", ack=0))) == "syn_ack"


def test_an_answer_as_event():
    answer = Answer("reply", "10.0.0.1", b"packet", 7)
    assert answer_event(answer, "netns:pod") == SocketEvent(7, "netns:pod", "reply", "received", b"packet")
