"""The nf_tables traces that a kernel sent, among them those of somebody else's packets."""

from __future__ import annotations

import dataclasses

import pytest
from evidence_recordings import Stream, load

from tracer.netfilter.evidence.nft_trace import NftTraceReader, parse_nft_trace

THERE = [
    ("native", "there", "rule", "continue"),
    ("native", "there", "rule", "jump marks"),
    ("native", "marks", "rule", "continue"),
    ("native", "marks", "rule", "return"),
    ("native", "there", "rule", "goto last"),
    ("native", "last", "rule", "continue"),
    ("native", "last", "rule", "continue"),
    ("native", "there", "policy", "accept"),
]
OTHER = [
    ("other", "everything", "rule", "continue"),
    ("other", "everything", "rule", "continue"),
    ("other", "everything", "policy", "accept"),
]
NO_TRANSLATION = [("nat", "to", "rule", "continue"), ("nat", "to", "policy", "accept")]


def steps(evidence, leg):
    return [
        (seen.message.table, seen.message.chain, seen.message.step, seen.message.verdict)
        for seen in evidence
        if seen.leg == leg
    ]


def test_echo_is_told_from_somebody_elses():
    recording = load("icmp4")
    evidence = NftTraceReader(Stream(list(recording.nft)), recording.mark).read()
    assert steps(evidence, "request") == [*OTHER, *NO_TRANSLATION, *THERE, ("nat", "from", "rule", "accept")]
    assert steps(evidence, "reply") == [*OTHER, *THERE]
    assert len(evidence) == len(steps(evidence, "request")) + len(steps(evidence, "reply"))


def test_udp_through_nat_is_told_from_somebody_elses():
    recording = load("udp6")
    evidence = NftTraceReader(Stream(list(recording.nft)), recording.mark).read()
    translation = ("nat", "to", "rule", "accept")
    assert steps(evidence, "request") == [*OTHER, translation, *THERE, ("nat", "from", "rule", "accept")]
    assert steps(evidence, "reply") == [*OTHER, *THERE]


def test_what_a_message_says():
    recording = load("icmp4")
    reader = NftTraceReader(Stream(list(recording.nft)), recording.mark)
    jump = next(seen.message for seen in reader.read() if seen.message.verdict == "jump marks")
    assert (jump.family, jump.handle, jump.packet, jump.device_in, jump.mark) == ("ip", 8, b"", 0, 0)
    first = parse_nft_trace(recording.nft[0], 42)
    assert first.at_ns == 42
    assert (first.device_in, first.device_out) == (2, 0)
    assert first.packet[:1] + first.packet[9:10] == b"\x45\x01"
    assert len(first.packet) == 40
    marked = [parse_nft_trace(data, 0).mark for data in recording.nft]
    assert set(marked) == {0, 7}


def test_names_that_are_not_utf8():
    recording = load("icmp4")
    odd = recording.nft[0].replace(b"everything", b"every\xffhing")
    assert parse_nft_trace(odd, 0).chain == r"every\xffhing"


def test_a_trace_id_that_comes_again_with_another_packet():
    """Our request's id, and then the headers of a packet of somebody else's: it is not ours, nor is what follows."""
    recording = load("icmp4")
    ids = [parse_nft_trace(data, 0).trace_id for data in recording.nft]
    of_mark = [parse_nft_trace(data, 0).table == recording.mark.table for data in recording.nft]
    ours = ids[of_mark.index(True)].to_bytes(4, "big")
    later = [
        data.replace(number.to_bytes(4, "big"), ours)
        for data, number in zip(recording.nft, ids, strict=True)
        if number == ids[-1]
    ]
    once = NftTraceReader(Stream(list(recording.nft)), recording.mark).read()
    again = NftTraceReader(Stream([*recording.nft, *later]), recording.mark).read()
    assert len(later) > 0
    assert [seen.leg for seen in again] == [seen.leg for seen in once]


def test_another_tracers_table_is_neither_evidence_nor_a_mark():
    recording = load("icmp4")
    other = dataclasses.replace(recording.mark.probe, token=bytes(16))
    stranger = NftTraceReader(Stream(list(recording.nft)), dataclasses.replace(recording.mark, probe=other))
    assert stranger.read() == []


def test_what_the_kernel_had_no_room_for_is_counted():
    recording = load("icmp4")
    reader = NftTraceReader(Stream([recording.nft[0], None, recording.nft[1], None]), recording.mark)
    assert reader.read() == []
    assert reader.lost == 2


def test_much_is_not_read_at_once():
    """Somebody else's trace of a busy node ends a read, so that the rest of the tracer has its turn."""
    recording = load("icmp4")
    stream = Stream([recording.nft[0]] * 3000)
    NftTraceReader(stream, recording.mark).read()
    assert 0 < len(stream.queue) < 3000


@pytest.mark.parametrize(
    ("code", "word"),
    [(0, "drop"), (1, "accept"), (3, "queue"), (0x20003, "queue"), (0x10000, "drop"), (5, "verdict 5")],
)
def test_verdicts(code, word):
    """A queue's number and a drop's errno stand in the upper half (NF_QUEUE_NR, NF_DROP_ERR)."""
    recording = load("icmp4")
    continues = b"\x08\x00\x01\x00\xff\xff\xff\xff"
    assert continues in recording.nft[0]
    data = recording.nft[0].replace(continues, continues[:4] + (code % 2**32).to_bytes(4, "big"))
    assert parse_nft_trace(data, 0).verdict == word
