"""Requests and streams over sockets that have what a kernel would say."""

from __future__ import annotations

import errno
import struct

import pytest
from evidence_recordings import Stream

from tracer.netfilter.evidence import nfnetlink


def message(kind, body=b""):
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def acknowledgment(code):
    return message(2, struct.pack("=i", -code) + message(0xA06))


class Socket(Stream):
    """A stream that also takes requests."""

    def sendto(self, data, address):
        self.sent = data


def test_messages_are_padded():
    first, second = message(1, b"abcde"), message(2, b"xyz")
    assert list(nfnetlink.split(first + bytes(3) + second + bytes(1))) == [first, second]


@pytest.mark.parametrize("data", [b"", b"\0" * 15, struct.pack("=IHHII", 3, 0, 0, 0, 0)])
def test_bytes_that_are_no_message(data):
    assert list(nfnetlink.split(data)) == []


def test_a_request_returns_what_comes_before_the_acknowledgment():
    sock = Socket([message(0xA06, b"echo"), acknowledgment(0), message(0xA06, b"not asked for")])
    assert nfnetlink.request(sock, [b"one", b"two"]) == [message(0xA06, b"echo")]
    assert sock.sent == b"onetwo"


def test_a_request_returns_a_dump():
    sock = Socket([message(7, b"elem") + message(7, b"more"), message(3)])
    assert nfnetlink.request(sock, [b""]) == [message(7, b"elem"), message(7, b"more")]


def test_a_refused_request_says_why():
    sock = Socket([acknowledgment(errno.EOPNOTSUPP)])
    with pytest.raises(OSError, match="not supported") as raised:
        nfnetlink.request(sock, [b""])
    assert raised.value.errno == errno.EOPNOTSUPP


def test_a_stream_ends_when_nothing_waits_and_tells_of_losses():
    stream = Stream([message(1) + message(2), None, message(3)])
    assert list(nfnetlink.receive(stream)) == [message(1), message(2), None, message(3)]
