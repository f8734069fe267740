"""Probes and responders for the rule evidence: sockets in namespaces of the test's own, one packet each way."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netns import Netns, run_in

TIMEOUT = 5.0
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
CLIENT = {4: "10.1.0.2", 6: "fd01::2"}
NODE = {4: "10.1.0.1", 6: "fd01::1"}
SERVER = {4: "10.2.0.2", 6: "fd02::2"}
ICMP = {4: (socket.IPPROTO_ICMP, 8), 6: (socket.IPPROTO_ICMPV6, 128)}


def dns_query(token: bytes) -> bytes:
    """Return a query for the address of TOKEN.test, as RFC 1035 has it."""
    name = b"\x20" + token.hex().encode() + b"\x04test\0"
    return struct.pack("!6H", 4711, 0x0100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)


def dns_answer(query: bytes) -> bytes:
    """Return the answer that there is no such name."""
    return query[:2] + b"\x81\x83" + query[4:]


@contextlib.contextmanager
def udp_responder(netns: Netns, family: int, port: int, answer: Callable[[bytes], bytes]) -> Iterator[None]:
    """Answer each datagram that arrives at `port` in a namespace."""

    def bound() -> socket.socket:
        sock = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
        sock.bind(("", port))
        return sock

    def serve() -> None:
        while True:
            data, sender = sock.recvfrom(2048)
            if sender[1] == ours[1]:
                return
            sock.sendto(answer(data), sender)

    sock, stopper = run_in(netns, bound), run_in(netns, lambda: socket.socket(FAMILY[family], socket.SOCK_DGRAM))
    with sock, stopper:
        stopper.bind(("", 0))
        ours = stopper.getsockname()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stopper.sendto(b"", ("localhost" if family == 4 else "::1", port))
            thread.join()


@contextlib.contextmanager
def tcp_listener(netns: Netns, family: int, port: int) -> Iterator[None]:
    """Accept connections at `port` in a namespace: its kernel answers a SYN."""

    def listening() -> socket.socket:
        sock = socket.socket(FAMILY[family], socket.SOCK_STREAM)
        sock.bind(("", port))
        sock.listen()
        return sock

    with run_in(netns, listening):
        yield


def ping(netns: Netns, probe: ProbeMark, destination: str) -> bytes:
    """Send one echo request with the probe's token, and return the reply's payload."""

    def exchange() -> bytes:
        with _echo_socket(probe, destination) as sock:
            return sock.recv(2048)[8:]

    return run_in(netns, exchange)


def send_echo(netns: Netns, probe: ProbeMark, destination: str) -> None:
    """Send one echo request with the probe's token, and do not wait."""
    run_in(netns, lambda: _echo_socket(probe, destination).close())


def _echo_socket(probe: ProbeMark, destination: str) -> socket.socket:
    """Return the socket (icmp(7)) that a request was sent from."""
    protocol, request = ICMP[probe.family]
    sock = socket.socket(FAMILY[probe.family], socket.SOCK_DGRAM, protocol)
    sock.settimeout(TIMEOUT)
    sock.connect((destination, 0))
    sock.send(struct.pack("!BBHHH", request, 0, 0, 0, 1) + probe.token)
    return sock


def send_udp(netns: Netns, family: int, destination: str, port: int, payload: bytes) -> bytes:
    """Send one datagram, and return the answer; ConnectionRefusedError when an ICMP error comes instead."""

    def exchange() -> bytes:
        with socket.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect((destination, port))
            sock.send(payload)
            return sock.recv(2048)

    return run_in(netns, exchange)


def send_datagrams(netns: Netns, family: int, destination: str, port: int, payloads: Sequence[bytes]) -> None:
    """Send datagrams from one socket, and do not wait."""

    def send() -> None:
        with socket.socket(FAMILY[family], socket.SOCK_DGRAM) as sock:
            for payload in payloads:
                sock.sendto(payload, (destination, port))

    run_in(netns, send)


def unreachables_sent(netns: Netns, family: int) -> int:
    """Return how many ICMP destination unreachables a namespace has sent (proc_net_snmp)."""
    if family == 6:
        counters = run_in(netns, Path("/proc/thread-self/net/snmp6").read_text)
        return int(dict(line.split() for line in counters.splitlines())["Icmp6OutDestUnreachs"])
    counters = run_in(netns, Path("/proc/thread-self/net/snmp").read_text)
    names, values = (line.split() for line in counters.splitlines() if line.startswith("Icmp:"))
    return int(values[names.index("OutDestUnreachs")])


def send_syn(netns: Netns, probe: ProbeMark, destination: str, port: int) -> None:
    """Send a SYN with the probe's sequence number from the client's address."""
    network = IP if probe.family == 4 else IPv6
    packet = network(src=CLIENT[probe.family], dst=destination) / TCP(
        sport=40000, dport=port, flags="S", seq=probe.sequence
    )

    def send() -> None:
        with socket.socket(FAMILY[probe.family], socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            sock.sendto(bytes(packet), (destination, 0))

    run_in(netns, send)
