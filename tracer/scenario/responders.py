"""Answer on a lab's ports, from one thread and sockets that were opened in the namespaces themselves."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tracer.errors import CannotTraceError
from tracer.scenario.topology import Listener, ip_version

_DATAGRAM = 65535
_DNS_HEADER = struct.Struct("!6H")  # RFC 1035, section 4.1.1: id, flags, and the counts of four sections
_IS_RESPONSE, _RECURSION_AVAILABLE, _NXDOMAIN = 0x8000, 0x0080, 3
_OPCODE_AND_RECURSION_DESIRED = 0x7900
_QUESTION_TAIL = 4  # type and class, section 4.1.2


def open_listener(listener: Listener) -> socket.socket:
    """Return a socket of the calling thread's namespace that is bound and, for TCP, listens.

    Raise CannotTraceError when the address or port cannot be had.
    """
    family = socket.AF_INET if ip_version(listener.address) == 4 else socket.AF_INET6
    kind = socket.SOCK_STREAM if listener.protocol == "tcp" else socket.SOCK_DGRAM
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((listener.address, listener.port))
        if listener.protocol == "tcp":
            opened.listen()
    except OSError as error:
        opened.close()
        raise CannotTraceError(
            f"cannot listen on {listener.address} port {listener.port} in the lab ({error.strerror})",
            "Check the scenario's addresses and services",
        ) from error
    return opened


@contextmanager
def answering(listeners: Iterable[tuple[Listener, socket.socket]]) -> Iterator[None]:
    """Answer on the sockets until the context ends. The sockets stay the caller's to close."""
    with contextlib.ExitStack() as stack:
        wake, woken = socket.socketpair()
        stack.enter_context(wake)
        stack.enter_context(woken)
        selector = stack.enter_context(selectors.DefaultSelector())
        selector.register(woken, selectors.EVENT_READ)
        for listener, opened in listeners:
            selector.register(opened, selectors.EVENT_READ, _ANSWERS[listener.protocol])
        thread = threading.Thread(target=_answer, args=(selector,), name="lab-responders", daemon=True)
        thread.start()
        try:
            yield
        finally:
            wake.send(b"\0")
            thread.join()


def dns_answer(query: bytes) -> bytes | None:
    """Return a DNS server's answer that the name does not exist, None for what is no query with one question."""
    if len(query) < _DNS_HEADER.size:
        return None
    identifier, flags, questions, *_ = _DNS_HEADER.unpack_from(query)
    end = _question_end(query)
    if flags & _IS_RESPONSE or questions != 1 or end is None:
        return None
    answered = _IS_RESPONSE | flags & _OPCODE_AND_RECURSION_DESIRED | _RECURSION_AVAILABLE | _NXDOMAIN
    return _DNS_HEADER.pack(identifier, answered, 1, 0, 0, 0) + query[_DNS_HEADER.size : end]


def _question_end(query: bytes) -> int | None:
    position = _DNS_HEADER.size
    while position < len(query):
        length = query[position]
        position += 1 + length
        if length == 0:
            end = position + _QUESTION_TAIL
            return end if end <= len(query) else None
    return None


def _answer(selector: selectors.BaseSelector) -> None:
    while True:
        for key, _ in selector.select():
            if key.data is None:
                return
            # A reset connection or an answer that a rule refuses is part of the incident, not of the lab.
            with contextlib.suppress(OSError):
                key.data(key.fileobj)


def _accept(listening: socket.socket) -> None:
    listening.accept()[0].close()


def _echo(opened: socket.socket) -> None:
    message, sender = opened.recvfrom(_DATAGRAM)
    opened.sendto(message, sender)


def _resolve(opened: socket.socket) -> None:
    query, sender = opened.recvfrom(_DATAGRAM)
    if answer := dns_answer(query):
        opened.sendto(answer, sender)


_ANSWERS: dict[str, Callable[[socket.socket], None]] = {"tcp": _accept, "udp": _echo, "dns": _resolve}
