"""The probe's packets in all protocols and families, built by scapy, and packets that only look like them."""

from __future__ import annotations

import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.packet import Raw

from tracer.netfilter.evidence.match import KnownAnswers, known_answers, leg_of, may_be_of
from tracer.netfilter.evidence.signature import ProbeMark, signatures

TOKEN = bytes(range(0x10, 0x20))
SEQUENCE = 0xFFFFFFFF  # the acknowledgment wraps
ENDS = {4: ("10.1.0.2", "10.2.0.2"), 6: ("fd01::2", "fd02::2")}
NETWORK = {4: IP, 6: IPv6}
FAMILIES = pytest.mark.parametrize("family", [4, 6])


def marks(protocol, family):
    return signatures(ProbeMark(protocol, family, TOKEN, SEQUENCE if protocol == "tcp" else None))


def there(family):
    source, destination = ENDS[family]
    return NETWORK[family](src=source, dst=destination)


def back(family):
    source, destination = ENDS[family]
    return NETWORK[family](src=destination, dst=source)


def echo(family, request, token):
    if family == 4:
        return ICMP(type=8 if request else 0, id=7, seq=1) / Raw(token)
    return (ICMPv6EchoRequest if request else ICMPv6EchoReply)(id=7, seq=1, data=token)


def error(family, packet):
    if family == 4:
        return back(4) / ICMP(type=3, code=3) / Raw(bytes(packet))
    return back(6) / ICMPv6DestUnreach(code=4) / Raw(bytes(packet))


def dns(token, answer):
    return struct.pack("!6H", 1, 0x8180 if answer else 0x0100, 1, 0, 0, 0) + b"\x20" + token.hex().encode() + b"\0"


REQUESTS = {
    "icmp": lambda family, token: there(family) / echo(family, True, token),
    "udp": lambda family, token: there(family) / UDP(sport=4000, dport=53) / Raw(token + b"more"),
    "dns": lambda family, token: there(family) / UDP(sport=4000, dport=53) / Raw(dns(token, False)),
    "tcp": lambda family, token: (
        there(family) / TCP(sport=4000, dport=80, flags="S", seq=SEQUENCE if token == TOKEN else 5)
    ),
}
REPLIES = {
    "icmp": lambda family, token: back(family) / echo(family, False, token),
    "udp": lambda family, token: back(family) / UDP(sport=53 if token == TOKEN else 54, dport=4000) / Raw(b"x"),
    "dns": lambda family, token: back(family) / UDP(sport=53, dport=4000) / Raw(dns(token, True)),
    "tcp": lambda family, token: (
        back(family) / TCP(sport=80, dport=4000, flags="SA", seq=1, ack=0 if token == TOKEN else 6)
    ),
}
PROTOCOLS = pytest.mark.parametrize("protocol", ["icmp", "udp", "dns", "tcp"])


def key(family, destination_port=53, source_port=4000):
    address = bytes(there(family))[16:20] if family == 4 else bytes(there(family))[24:40]
    return address + struct.pack("!H2xH2x", destination_port, source_port)


def leg(packet, protocol, family, keys=()):
    return leg_of(bytes(packet), marks(protocol, family), known_answers(keys))


@FAMILIES
@PROTOCOLS
def test_request_reply_and_error(protocol, family):
    request, reply = REQUESTS[protocol](family, TOKEN), REPLIES[protocol](family, TOKEN)
    assert leg(request, protocol, family) == "request"
    assert leg(reply, protocol, family, [key(family)]) == "reply"
    assert leg(error(family, request), protocol, family) == "reply"


@FAMILIES
@PROTOCOLS
def test_somebody_elses(protocol, family):
    other = bytes(16)
    request, reply = REQUESTS[protocol](family, other), REPLIES[protocol](family, other)
    for packet in (request, reply, error(family, request)):
        assert leg(packet, protocol, family, [key(family)]) is None


@FAMILIES
@PROTOCOLS
def test_packets_that_are_cut_off_anywhere(protocol, family):
    """Too few bytes are never taken for ours, and never rule ours out as far as they go."""
    packet = bytes(REQUESTS[protocol](family, TOKEN))
    legs = [leg_of(packet[:size], marks(protocol, family), KnownAnswers()) for size in range(len(packet) + 1)]
    first = legs.index("request")
    assert set(legs[:first]) == {None}
    assert set(legs[first:]) == {"request"}
    header = 20 if family == 4 else 40
    assert all(may_be_of(packet[:size], "request", marks(protocol, family)) for size in range(header, len(packet)))


@FAMILIES
@PROTOCOLS
def test_headers_that_cannot_be_ours(protocol, family):
    other = bytes(REQUESTS[protocol](family, bytes(16)))[: (20 if family == 4 else 40) + 20]
    possible = protocol == "dns"  # whose name begins behind the 20 bytes
    assert may_be_of(other, "request", marks(protocol, family)) is possible
    assert not may_be_of(bytes(REQUESTS["tcp"](family, bytes(16))), "request", marks("udp", family))


@FAMILIES
def test_tcp_reset_and_what_only_acknowledges(family):
    assert leg(back(family) / TCP(flags="RA", ack=0), "tcp", family) == "reply"
    assert leg(back(family) / TCP(flags="A", ack=0), "tcp", family) is None
    assert leg(back(family) / TCP(flags="R", ack=0), "tcp", family) is None  # acknowledges nothing (RFC 9293, 3.10.7)
    assert leg(there(family) / TCP(flags="SA", seq=SEQUENCE, ack=9), "tcp", family) is None


@FAMILIES
def test_udp_reply_that_sends_the_token_back(family):
    reply = back(family) / UDP(sport=53, dport=4000) / Raw(TOKEN)
    assert leg(reply, "udp", family, [key(family)]) == "reply"
    assert leg(error(family, REQUESTS["udp"](family, TOKEN)), "udp", family, [key(family)]) == "reply"
    assert leg(error(family, reply), "udp", family, [key(family)]) is None


@FAMILIES
def test_udp_reply_half_way_through_nat(family):
    """Behind source NAT's undoing and before destination NAT's: the port as at first, the rest as at last."""
    keys = [key(family, 80, 4000), key(family, 53, 60000)]
    assert leg(back(family) / UDP(sport=53, dport=4000) / Raw(b"x"), "udp", family, keys) == "reply"
    assert leg(back(family) / UDP(sport=53, dport=4001) / Raw(b"x"), "udp", family, keys) is None


@FAMILIES
def test_errors_about_a_reply_are_not_ours(family):
    assert leg(error(family, REPLIES["icmp"](family, TOKEN)), "icmp", family) is None
    assert leg(error(family, REPLIES["dns"](family, TOKEN)), "dns", family) is None


@PROTOCOLS
def test_a_redirect_is_no_answer(protocol):
    """It tells the sender of a better way, and the request goes on (RFC 792)."""
    unreachable = bytes(error(4, REQUESTS[protocol](4, TOKEN)))
    redirect = unreachable[:20] + b"\x05" + unreachable[21:]
    assert leg(redirect, protocol, 4) is None


def test_later_fragments_are_not_ours():
    fragment = there(4)
    fragment.frag = 3
    assert leg(fragment / echo(4, True, TOKEN), "icmp", 4) is None


@pytest.mark.parametrize("packet", [b"", b"\x45", b"\x60" + bytes(20), b"\x00" * 64, b"\xff" * 64])
def test_bytes_that_are_no_packet(packet):
    for family in (4, 6):
        for protocol in REQUESTS:
            assert leg(packet, protocol, family) is None
            assert not may_be_of(packet, "request", marks(protocol, family))


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocol": "icmp", "token": bytes(15)},
        {"protocol": "icmp", "token": TOKEN, "sequence": 1},
        {"protocol": "tcp", "token": TOKEN},
    ],
)
def test_probes_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=r"token|sequence"):
        ProbeMark(family=4, **wrong)
