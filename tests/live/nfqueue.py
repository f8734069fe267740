"""A program that listens to an NFQUEUE, and gives every packet the same verdict or none."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Literal

from tracer.netfilter.evidence import nfnetlink
from tracer.netns import Netns, run_in

_SUBSYSTEM = 3 << 8  # NFNL_SUBSYS_QUEUE, include/uapi/linux/netfilter/nfnetlink.h
# include/uapi/linux/netfilter/nfnetlink_queue.h
_PACKET, _VERDICT, _CONFIG = 0, 1, 2
_CFG_CMD, _CFG_PARAMS, _BIND, _COPY_META = 1, 2, 1, 1
_PACKET_HDR, _VERDICT_HDR = 1, 2
_REQUEST, _ACK = 1, 4
_CODES = {"drop": 0, "accept": 1}
_POLL_S = 0.02
_numbers = itertools.count(7)


def queue_number() -> int:
    """Return the number of a queue that no test has used yet."""
    return next(_numbers)


@contextlib.contextmanager
def listening(netns: Netns, number: int, verdict: Literal["drop", "accept"] | None = None) -> Iterator[None]:
    """Bind the queue in a namespace; give its packets the verdict until the context ends."""
    ended = threading.Event()
    with run_in(netns, nfnetlink.open_socket) as sock:
        for attribute in (
            _attribute(_CFG_CMD, struct.pack("!BBH", _BIND, 0, 0)),
            _attribute(_CFG_PARAMS, struct.pack("!IB", 0, _COPY_META)),
        ):
            nfnetlink.request(sock, [_message(_CONFIG, _ACK, number, attribute)])
        sock.settimeout(_POLL_S)
        thread = threading.Thread(target=_answer, args=(sock, number, verdict, ended))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _answer(sock: socket.socket, number: int, verdict: str | None, ended: threading.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            for message in nfnetlink.split(sock.recv(2**16)):
                if nfnetlink.message_type(message) == _SUBSYSTEM | _PACKET and verdict:
                    # The header comes first: nlmsghdr, nfgenmsg, nlattr, then the packet's number.
                    (packet,) = struct.unpack_from("!I", message, 16 + 4 + 4)
                    header = _attribute(_VERDICT_HDR, struct.pack("!II", _CODES[verdict], packet))
                    sock.sendto(_message(_VERDICT, 0, number, header), (0, 0))


def _message(kind: int, flags: int, number: int, attributes: bytes) -> bytes:
    body = struct.pack("=BBH", socket.AF_UNSPEC, 0, socket.htons(number)) + attributes
    return struct.pack("=IHHII", 16 + len(body), _SUBSYSTEM | kind, _REQUEST | flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return (struct.pack("=HH", 4 + len(value), kind) + value).ljust((4 + len(value) + 3) & ~3, b"\0")
