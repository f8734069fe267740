"""Send the probe from inside the source's namespace, and receive what comes back there.

The packet goes out through a raw socket that takes it whole, so it passes the source's own OUTPUT hooks. Answers
are read from sockets, which are past its INPUT hooks, so what is read has really arrived.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time
from dataclasses import dataclass
from types import TracebackType

from tracer.endpoints.model import Protocol, ResolvedFlow
from tracer.errors import CannotTraceError
from tracer.events import SocketEvent
from tracer.netns import Netns, run_in
from tracer.packet import ICMP, ICMPV6, TCP, UDP, IpFamily
from tracer.probe.answers import answer_kind
from tracer.probe.filters import take_answers_only, take_port_only
from tracer.probe.headers import ip_packet, udp_datagram
from tracer.probe.model import Answer, Probe

_AF: dict[IpFamily, socket.AddressFamily] = {4: socket.AF_INET, 6: socket.AF_INET6}
_ICMP_OF: dict[IpFamily, int] = {4: ICMP, 6: ICMPV6}
_TRANSPORTS: dict[Protocol, int] = {"udp": UDP, "dns": UDP, "tcp": TCP}

_IP_RECVTTL = 12  # include/uapi/linux/in.h; Python has no name for it before 3.14
_TELL_HEADER: dict[IpFamily, tuple[tuple[int, int], ...]] = {
    4: ((socket.IPPROTO_IP, _IP_RECVTTL), (socket.IPPROTO_IP, socket.IP_RECVTOS)),
    6: ((socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT), (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS)),
}
_HOP_LIMITS = {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}
_TRAFFIC_CLASSES = {(socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)}

_LARGEST_PACKET = 65535
_ANCILLARY_BYTES = 256
_MOST_WAITING = 4096  # more than a receive buffer holds of the smallest packets
_MOST_AT_ONCE = 256  # a flood of packets must not keep the caller from everything else


@dataclass(frozen=True)
class _Listener:
    socket: socket.socket
    protocol: int


@dataclass(frozen=True)
class ProbeSockets:
    """The sockets of one probe in the source's namespace; close them, or use them in a `with` statement.

    `source_port` is bound for as long as they are open, None for ICMP. A SYN-ACK finds no listening socket there,
    so the kernel resets the half-open connection by itself, with a segment from the probe's own address and port.
    """

    netns: Netns
    family: IpFamily
    address: str
    source_port: int | None
    _sender: socket.socket
    _listeners: tuple[_Listener, ...]
    _opened: contextlib.ExitStack

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors that are readable when an answer may have come."""
        return tuple(listener.socket.fileno() for listener in self._listeners)

    def send(self, probe: Probe) -> SocketEvent:
        """Send the probe, once; a refusal by the kernel is told in the event, not raised.

        EPERM means that a netfilter OUTPUT hook of the source dropped it (net/ipv4/raw.c, raw_send_hdrinc).
        """
        self._discard()
        at_ns = time.monotonic_ns()
        try:
            self._sender.sendto(probe.packet, (probe.destination, 0))
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, str(error.errno))
            why = f"{name}: {error.strerror}"
            return SocketEvent(at_ns, self.netns.label, "request", "refused", probe.packet, why)
        return SocketEvent(at_ns, self.netns.label, "request", "sent", probe.packet)

    def read(self, probe: Probe) -> list[Answer]:
        """Return the answers to `probe` that have arrived since the last call, without waiting."""
        answers = []
        for listener in self._listeners:
            for _ in range(_MOST_AT_ONCE):
                try:
                    packet, sender = self._receive(listener)
                except BlockingIOError:
                    break
                if kind := answer_kind(probe, packet):
                    answers.append(Answer(kind, sender, packet, time.monotonic_ns()))
        return answers

    def _discard(self) -> None:
        """Throw away what has come in so far: the answers to other people's pings may have filled the buffer."""
        for listener in self._listeners:
            with contextlib.suppress(BlockingIOError):
                for _ in range(_MOST_WAITING):
                    listener.socket.recv(1)

    def close(self) -> None:
        """Close all sockets, which frees the port."""
        self._opened.close()

    def __enter__(self) -> ProbeSockets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self, listener: _Listener) -> tuple[bytes, str]:
        """Return one packet from its network header on, and who sent it."""
        data, ancillary, _, sender = listener.socket.recvmsg(_LARGEST_PACKET, _ANCILLARY_BYTES)
        raw = listener.socket.type == socket.SOCK_RAW
        address = sender[0].partition("%")[0]
        if raw and self.family == 4:
            return data, address
        if not raw:
            data = udp_datagram(address, sender[1], self.address, self.source_port or 0, data)
        hop_limit = _number(ancillary, _HOP_LIMITS)
        traffic_class = _number(ancillary, _TRAFFIC_CLASSES)
        packet = ip_packet(
            address,
            self.address,
            listener.protocol,
            data,
            hop_limit=hop_limit,
            traffic_class=traffic_class,
        )
        return packet, address


def open_sockets(flow: ResolvedFlow) -> ProbeSockets:
    """Open the sockets for a probe of `flow` in its source's namespace, and take a port there if it needs one.

    Raise CannotTraceError when the kernel refuses: raw sockets need CAP_NET_RAW (raw(7)).
    """
    try:
        return run_in(flow.source.netns, lambda: _open(flow))
    except OSError as error:
        gone = error.errno == errno.EADDRNOTAVAIL
        raise CannotTraceError(
            f"cannot open the probe's sockets at {flow.source.address} in {flow.source.label}: {error.strerror}",
            "The address is gone: look, and trace again" if gone else "Run as root (CAP_NET_RAW is needed)",
        ) from error


def _open(flow: ResolvedFlow) -> ProbeSockets:
    family, address = flow.family, flow.source.address
    with contextlib.ExitStack() as stack:

        def bound(kind: socket.SocketKind, protocol: int) -> socket.socket:
            opened = stack.enter_context(socket.socket(_AF[family], kind, protocol))
            opened.setblocking(False)
            opened.bind((address, 0))
            return opened

        sender = bound(socket.SOCK_RAW, socket.IPPROTO_RAW)
        errors = bound(socket.SOCK_RAW, _ICMP_OF[family])
        take_answers_only(errors, family)
        listeners = [_Listener(errors, _ICMP_OF[family])]
        port = None
        transport = _TRANSPORTS.get(flow.protocol)
        if transport == UDP:
            datagrams = bound(socket.SOCK_DGRAM, UDP)
            port = datagrams.getsockname()[1]
            listeners.append(_Listener(datagrams, UDP))
        elif transport == TCP:
            port = bound(socket.SOCK_STREAM, TCP).getsockname()[1]
            segments = bound(socket.SOCK_RAW, TCP)
            take_port_only(segments, family, port)
            listeners.append(_Listener(segments, TCP))
        for listener in listeners:
            _tell_header(listener.socket, family)
        return ProbeSockets(flow.source.netns, family, address, port, sender, tuple(listeners), stack.pop_all())


def _tell_header(listener: socket.socket, family: IpFamily) -> None:
    for level, option in _TELL_HEADER[family]:
        listener.setsockopt(level, option, 1)


def _number(ancillary: list[tuple[int, int, bytes]], wanted: set[tuple[int, int]]) -> int:
    """Return the first of the wanted header fields: an int, or one byte for IPv4's type of service (ip(7))."""
    for level, kind, data in ancillary:
        if (level, kind) in wanted:
            return int(struct.unpack("=i", data)[0]) if len(data) == 4 else data[0]
    return 0
