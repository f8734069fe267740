"""The probe's packets, and other people's, against the patterns by which BPF tells them apart."""

from __future__ import annotations

import pytest
from probe.packets import error_about, reply_to, reset_of
from probe.probes import ADDRESSES, TOKEN, probe_of
from scapy.layers.inet import IP, IPOption

from tracer.capture.layout import PACKET_BYTES
from tracer.capture.patterns import WORD_BYTES, WORDS, Pattern, patterns
from tracer.netfilter.evidence.signature import ProbeMark

REQUEST, REPLY = 0, 1
PROTOCOLS = pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp", "dns"])
FAMILIES = pytest.mark.parametrize("family", [4, 6])
OTHER_TOKEN = bytes(range(0x10, 0x20))
GARBAGE = b"\xe5"  # what lies behind a short packet in memory, where words are read all the same


def mark_of(probe):
    return ProbeMark(probe.protocol, probe.family, probe.token, probe.tcp_sequence if probe.protocol == "tcp" else None)


def leg_of(known: tuple[Pattern, ...], family: int, packet: bytes) -> int | None:
    """Do what leg_of in bpf/probe.h does."""
    memory = packet.ljust(PACKET_BYTES, GARBAGE)[:PACKET_BYTES]
    protocol = memory[9 if family == 4 else 6]
    if memory[0] >> 4 != family:
        return None
    for pattern in reversed(known):
        if pattern.protocol == protocol and all(fits(word, memory) for word in pattern.words):
            return pattern.leg
    return None


def fits(word, memory):
    there = memory[word.at : word.at + WORD_BYTES]
    return bytes(byte & mask for byte, mask in zip(there, word.mask, strict=True)) == word.value


def leg(probe, packet):
    return leg_of(patterns(mark_of(probe)), probe.family, packet)


@FAMILIES
@PROTOCOLS
def test_request_and_the_error_that_embeds_it(protocol, family):
    probe = probe_of(protocol, family)
    router = {4: "192.0.2.1", 6: "fd99::1"}[family]
    assert leg(probe, probe.packet) == REQUEST
    assert leg(probe, error_about(family, probe.packet)) == REPLY
    assert leg(probe, error_about(family, probe.packet, router)) == REPLY


@FAMILIES
@pytest.mark.parametrize("protocol", ["icmp", "tcp", "dns"])
def test_reply(protocol, family):
    probe = probe_of(protocol, family)
    assert leg(probe, reply_to(probe)) == REPLY


@FAMILIES
def test_reset(family):
    probe = probe_of("tcp", family)
    assert leg(probe, reset_of(probe)) == REPLY


@FAMILIES
def test_an_answer_to_plain_udp_has_no_pattern_until_the_request_was_seen(family):
    probe = probe_of("udp", family)
    assert leg(probe, reply_to(probe)) is None
    assert all(pattern.leg == REQUEST for pattern in patterns(mark_of(probe)) if pattern.protocol == 17)


@FAMILIES
@PROTOCOLS
def test_somebody_elses_packets_of_the_same_kind(protocol, family):
    probe, other = probe_of(protocol, family), probe_of(protocol, family, OTHER_TOKEN)
    packets = [other.packet, reply_to(other), error_about(family, other.packet), error_about(family, reply_to(other))]
    if protocol == "tcp":
        packets.append(reset_of(other))
    assert [leg(probe, packet) for packet in packets] == [None] * len(packets)


@FAMILIES
@PROTOCOLS
def test_packets_of_other_kinds_that_carry_the_same_token(protocol, family):
    probe = probe_of(protocol, family)
    for other in {"icmp", "udp", "tcp", "dns"} - {protocol}:
        packet = probe_of(other, family).packet
        assert leg(probe, packet) is None, other


@PROTOCOLS
def test_the_other_ip_version(protocol):
    for family, other in ((4, 6), (6, 4)):
        probe = probe_of(protocol, family)
        assert leg(probe, probe_of(protocol, other).packet) is None


@FAMILIES
def test_what_only_acknowledges_is_no_answer(family):
    probe = probe_of("tcp", family)
    flags_at = {4: 20, 6: 40}[family] + 13
    for flags in (0x10, 0x11, 0x04):  # ACK, FIN and ACK, RST
        packet = bytearray(reply_to(probe))
        packet[flags_at] = flags
        assert leg(probe, bytes(packet)) is None, hex(flags)


@FAMILIES
def test_a_dns_query_that_comes_back_unanswered_is_a_request_still(family):
    probe = probe_of("dns", family)
    assert leg(probe, reply_to(probe)) == REPLY
    packet = bytearray(reply_to(probe))
    packet[{4: 20, 6: 40}[family] + 8 + 2] &= 0x7F  # QR
    assert leg(probe, bytes(packet)) == REQUEST


@PROTOCOLS
def test_ip_options_make_a_packet_a_strangers(protocol):
    probe = probe_of(protocol, 4)
    packet = IP(src=ADDRESSES[4][0], dst=ADDRESSES[4][1], options=[IPOption(b"\x94\x04\0\0")])
    assert leg(probe, bytes(packet / IP(probe.packet).payload)) is None


@FAMILIES
@PROTOCOLS
def test_a_packet_that_is_cut_off_is_ours_as_soon_as_all_that_tells_it_is_there(protocol, family):
    probe = probe_of(protocol, family)
    for packet, expected in ((probe.packet, REQUEST), (error_about(family, probe.packet), REPLY)):
        legs = [leg(probe, packet[:size]) for size in range(min(len(packet), PACKET_BYTES) + 1)]
        first = legs.index(expected)
        assert first > {4: 20, 6: 40}[family]
        assert set(legs[:first]) == {None}
        assert set(legs[first:]) == {expected}


def test_an_icmp_error_needs_the_first_eight_bytes_of_a_segment_only():
    """RFC 792 asks for no more, and the sequence number lies in them."""
    probe = probe_of("tcp", 4)
    assert leg(probe, error_about(4, probe.packet[:28])) == REPLY


@PROTOCOLS
def test_a_redirect_about_the_request_is_no_answer(protocol):
    """It tells the sender of a better way, and the request goes on (RFC 792)."""
    probe = probe_of(protocol, 4)
    unreachable = error_about(4, probe.packet)
    assert leg(probe, unreachable[:20] + b"\x05" + unreachable[21:]) is None


@pytest.mark.parametrize("packet", [b"", b"\x45", b"\x60" * 3, bytes(PACKET_BYTES), b"\xff" * PACKET_BYTES])
def test_bytes_that_are_no_packet(packet):
    for family in (4, 6):
        for protocol in ("icmp", "udp", "tcp", "dns"):
            assert leg(probe_of(protocol, family), packet) is None


@FAMILIES
@PROTOCOLS
def test_every_word_lies_in_the_part_of_a_packet_that_events_show(protocol, family):
    known = patterns(mark_of(probe_of(protocol, family)))
    assert known
    for pattern in known:
        assert len(pattern.words) == WORDS
        for word in pattern.words:
            assert 0 <= word.at <= PACKET_BYTES - WORD_BYTES
            assert len(word.mask) == len(word.value) == WORD_BYTES


@FAMILIES
@PROTOCOLS
def test_a_word_asks_for_nothing_outside_its_mask(protocol, family):
    """BPF compares `packet & mask` with the value: a bit outside the mask could never fit."""
    for pattern in patterns(mark_of(probe_of(protocol, family))):
        for word in pattern.words:
            assert bytes(v & m for v, m in zip(word.value, word.mask, strict=True)) == word.value


@FAMILIES
@PROTOCOLS
def test_a_pattern_holds_enough_of_the_token_to_be_nobody_elses(protocol, family):
    """At least 32 random bits; the token's other bytes are not needed."""
    distinct = bytes(255 - byte for byte in TOKEN)
    ours, others = (patterns(mark_of(probe_of(protocol, family, token))) for token in (TOKEN, distinct))
    for one, another in zip(ours, others, strict=True):
        differing = sum(
            bin(byte).count("1")
            for word, changed in zip(one.words, another.words, strict=True)
            if word.value != changed.value
            for byte in word.mask
        )
        assert differing >= 32
