"""The legacy traces that a kernel sent on NFLOG group 0, among them those of somebody else's packets."""

from __future__ import annotations

import dataclasses

import pytest
from evidence_recordings import Stream, load

from tracer.netfilter.evidence.legacy_trace import LegacyTraceReader
from tracer.netfilter.evidence.match import KnownAnswers

STEPS = [
    (0, "raw", "PREROUTING", "rule", 1),
    (0, "raw", "odd:rule:3:name", "return", 1),
    (0, "raw", "PREROUTING", "policy", 3),
    (2, "filter", "FORWARD", "rule", 1),
    (2, "filter", "FORWARD", "policy", 2),
]


def steps(evidence):
    return [
        (seen.leg, seen.message.hook, seen.message.table, seen.message.chain, seen.message.step, seen.message.position)
        for seen in evidence
    ]


@pytest.mark.parametrize("name", ["icmp4", "udp6"])
def test_ours_is_told_from_somebody_elses(name):
    recording = load(name)
    evidence = LegacyTraceReader(Stream(list(recording.legacy)), recording.mark).read()
    assert steps(evidence) == [(leg, *step) for leg in ("request", "reply") for step in STEPS]


def test_an_echoed_datagram_is_no_reply_until_the_request_was_learnt():
    recording = load("udp6")
    mark = dataclasses.replace(recording.mark, known=KnownAnswers())
    evidence = LegacyTraceReader(Stream(list(recording.legacy)), mark).read()
    assert {seen.leg for seen in evidence} == {"request"}


def test_what_a_message_says():
    recording = load("icmp4")
    evidence = LegacyTraceReader(Stream(list(recording.legacy)), recording.mark).read()
    prerouting, forward = evidence[0].message, evidence[3].message
    assert (prerouting.family, prerouting.device_in, prerouting.device_out) == ("ip", 2, 0)
    assert (forward.device_in, forward.device_out, forward.mark) == (2, 3, 0)
    assert recording.mark.probe.token in forward.packet


@pytest.mark.parametrize(
    "prefix",
    [b"TRACE: of somebody else\0", b"TRACE: raw:PREROUTING:rule:x \0", b"xRACE: raw:PREROUTING:rule:1 \0", b"\0"],
)
def test_other_logs_are_no_traces(prefix):
    recording = load("icmp4")
    said = b"TRACE: raw:PREROUTING:rule:1 \0"
    logs = [data.replace(said, prefix + bytes(len(said) - len(prefix))) for data in recording.legacy if said in data]
    assert len(logs) == 6
    assert LegacyTraceReader(Stream(logs), recording.mark).read() == []


@pytest.mark.parametrize(
    ("queue", "lost"),
    [
        ([0, 1, 2], 0),
        ([0, 1, 5], 3),
        ([2], 2),
        ([0, None, 3], 2),
        ([0, None, None, 2], 2),
        ([0, None], 1),
        ([None, 0], 1),
    ],
)
def test_what_is_missing_is_counted_once(queue, lost):
    """By the numbers of the messages, and by what the socket says before the next number comes."""
    recording = load("icmp4")
    reader = LegacyTraceReader(
        Stream([None if number is None else recording.legacy[number] for number in queue]), recording.mark
    )
    reader.read()
    assert reader.lost == lost
