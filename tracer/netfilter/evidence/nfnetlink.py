"""Netlink sockets for nfnetlink: requests that are answered, and streams of messages that may be lost.

pyroute2 encodes and decodes the messages. Its sockets send each nf_tables command as a transaction of its own
and run an event loop each; here one transaction must hold a whole table, and readers must not block.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from pyroute2.netlink.nfnetlink import nfgen_msg

NETLINK_NETFILTER = 12  # include/uapi/linux/netlink.h, as are the next ones
_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr

_SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h
_STREAM_BUFFER = 8 * 2**20  # bytes; some 4000 trace messages
_MOST_WAITING = 2**15  # messages; more than the buffer holds
_LONGEST = 2**17  # nfnetlink_log sends up to 128 KiB at once
_ANSWER_TIMEOUT = 5.0  # seconds; nfnetlink answers before sendto(2) returns


def open_socket() -> socket.socket:
    """Return a netlink socket of the calling thread's namespace, for requests."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    sock.bind((0, 0))
    sock.settimeout(_ANSWER_TIMEOUT)
    return sock


def listen(sock: socket.socket, group: int | None = None) -> None:
    """Make `sock` a stream: a large receive buffer, no blocking, and membership of the multicast `group`."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _STREAM_BUFFER)
    if group is not None:
        sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    sock.setblocking(False)


def encode(message: nfgen_msg, *, kind: int, flags: int, family: int = 0, resource: int = 0) -> bytes:
    """Return `message` as bytes, with its headers filled in."""
    message["header"].update(type=kind, flags=flags)
    message.update(nfgen_family=family, res_id=resource)
    message.encode()
    return bytes(message.data)


def request(sock: socket.socket, messages: Sequence[bytes]) -> list[bytes]:
    """Send `messages` as one, and return what the kernel answers, without acknowledgments.

    The last message asks for an acknowledgment (NLM_F_ACK) or is a dump. Raise OSError with what the kernel
    refuses.
    """
    sock.sendto(b"".join(messages), (0, 0))
    answers: list[bytes] = []
    while True:
        for message in split(sock.recv(_LONGEST)):
            kind = message_type(message)
            if kind == _NLMSG_ERROR:
                _check(message)
            if kind in {_NLMSG_ERROR, _NLMSG_DONE}:
                return answers
            answers.append(message)


def receive(sock: socket.socket) -> Iterator[bytes | None]:
    """Yield the messages that wait in a stream, and None for each time that the kernel had no room for one."""
    while True:
        try:
            data = sock.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            yield None
        else:
            yield from split(data)


def discard(sock: socket.socket) -> None:
    """Throw away what waits in a stream, and leave it to a reader where more comes in than can be thrown away."""
    for _ in range(_MOST_WAITING):
        try:
            sock.recv(1)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise


def split(data: bytes) -> Iterator[bytes]:
    """Yield each netlink message in `data` (netlink(7)), with its header."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length = _HEADER.unpack_from(data, offset)[0]
        if length < _HEADER.size:
            return
        yield data[offset : offset + length]
        offset += (length + 3) & ~3


def message_type(message: bytes) -> int:
    """Return the type in the message's header: subsystem and command in nfnetlink."""
    return int(_HEADER.unpack_from(message)[1])


def _check(message: bytes) -> None:
    code = -struct.unpack_from("=i", message, _HEADER.size)[0]
    if code:
        raise OSError(code, os.strerror(code))
