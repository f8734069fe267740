"""Probes over real veths, and what really comes back: replies, resets, ICMP errors, and refusals to send."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pod_wiring import Names, ip, namespaces, node_with_pods, wire_bridge

from tracer.endpoints.model import ResolvedFlow
from tracer.endpoints.parse import parse_endpoint
from tracer.endpoints.resolve import resolve_flow
from tracer.errors import CannotTraceError
from tracer.netns import Netns, open_netns, run_in
from tracer.packet import TCP_ACK, TCP_RST, TCP_SYN, parse_packet
from tracer.probe.build import build_probe
from tracer.probe.model import Answer, Probe, new_token
from tracer.probe.sockets import ProbeSockets, open_sockets

FAMILIES = pytest.mark.parametrize("family", [4, 6])
PROTOCOLS = pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp", "dns"])
OPEN, CLOSED = 7777, 7778
ETH_P_ALL = 3
PATIENCE_S = 10


@pytest.fixture(scope="module")
def lab():
    with node_with_pods() as names, server(names.bridged), server(names.node):
        yield names


@contextlib.contextmanager
def server(netns: str) -> Iterator[None]:
    """Serve UDP echo and TCP on one port and DNS on 53, for both families."""

    def open_all() -> list[socket.socket]:
        opened = []
        for kind, port in ((socket.SOCK_DGRAM, OPEN), (socket.SOCK_DGRAM, 53), (socket.SOCK_STREAM, OPEN)):
            opened.append(socket.socket(socket.AF_INET6, kind))
            opened[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            opened[-1].bind(("::", port))
        opened[2].listen()
        return opened

    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as stack:
        stack.enter_context(ours)
        opened = [stack.enter_context(one) for one in run_in(named(netns), open_all)]

        def serve() -> None:
            while theirs not in (ready := select.select([*opened[:2], theirs], [], [])[0]):
                for one in ready:
                    answer_datagram(one, response if one is opened[1] else bytes)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ours.send(b"end")
            thread.join()
            theirs.close()


def answer_datagram(server_socket: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    """Answer from the address that was asked."""
    data, ancillary, _, sender = server_socket.recvmsg(2048, 256)
    with contextlib.suppress(PermissionError):  # a test's own rule may drop the answer
        server_socket.sendmsg([answer(data)], ancillary, 0, sender)


def response(query: bytes) -> bytes:
    """Say that there is no such name (RFC 1035, 4.1.1)."""
    return query[:2] + struct.pack("!H", 0x8583) + query[4:]


def named(netns: str) -> Netns:
    return open_netns(f"netns:{netns}", f"/run/netns/{netns}")


def flow_between(source: str, destination: str, node: str, protocol: str, family: int, port=None) -> ResolvedFlow:
    wanted = port or (OPEN if protocol in {"udp", "tcp"} else None)
    ends = [parse_endpoint(end if end == "node" else f"netns:{end}") for end in (source, destination)]
    return resolve_flow(*ends, node=parse_endpoint(f"netns:{node}"), protocol=protocol, family=family, port=wanted)


def pod_to_pod(lab: Names, protocol: str, family: int, port=None) -> ResolvedFlow:
    return flow_between(lab.routed, lab.bridged, lab.node, protocol, family, port)


def answers_to(sockets: ProbeSockets, probe: Probe) -> list[Answer]:
    """Wait for the first answers."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        select.select(sockets.filenos(), [], [], deadline - time.monotonic())
        if answers := sockets.read(probe):
            return answers
    return []


def exchange(flow: ResolvedFlow) -> tuple[Probe, Answer]:
    """Send one probe, and return it with the one answer that came."""
    with open_sockets(flow) as sockets:
        probe = build_probe(flow, new_token(), sockets.source_port)
        event = sockets.send(probe)
        assert (event.action, event.error, event.leg) == ("sent", "", "request")
        assert event.netns == flow.source.netns.label
        (answer,) = answers_to(sockets, probe)
    assert event.at_ns < answer.at_ns < time.monotonic_ns()
    return probe, answer


@contextlib.contextmanager
def rules(netns: str, text: str) -> Iterator[None]:
    """Load an nftables table called `test` for a while."""
    command = ["ip", "netns", "exec", netns, "nft"]
    subprocess.run([*command, "-f", "-"], input=f"table inet test {{\n{text}\n}}", text=True, check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run([*command, "delete table inet test"], check=True, timeout=10)


@FAMILIES
@PROTOCOLS
@pytest.mark.parametrize("ends", [("routed", "bridged"), ("bridged", "node"), ("node", "bridged")])
def test_a_probe_is_answered(lab, ends, protocol, family):
    source, destination = (end if end == "node" else getattr(lab, end) for end in ends)
    flow = flow_between(source, destination, lab.node, protocol, family)
    probe, answer = exchange(flow)
    assert answer.kind == ("syn_ack" if protocol == "tcp" else "reply")
    assert answer.address == flow.destination.address
    header = parse_packet(answer.packet)
    assert (header.source, header.destination) == (flow.destination.address, flow.source.address)
    assert (header.source_port, header.destination_port) == (flow.port, probe.source_port)
    if protocol == "icmp":
        assert header.payload == parse_packet(probe.packet).payload
    if protocol == "tcp":
        assert header.tcp_flags == TCP_SYN | TCP_ACK


@FAMILIES
def test_rebuilt_headers_carry_the_hop_limit_that_arrived(lab, family):
    for protocol in ("icmp", "udp"):
        _, answer = exchange(pod_to_pod(lab, protocol, family))
        assert answer.packet[8 if family == 4 else 7] == 63  # one router between the pods


@FAMILIES
def test_a_closed_port_resets(lab, family):
    _, answer = exchange(pod_to_pod(lab, "tcp", family, CLOSED))
    assert answer.kind == "rst"
    assert parse_packet(answer.packet).tcp_flags == TCP_RST | TCP_ACK


@FAMILIES
@pytest.mark.parametrize("protocol", ["udp", "dns"])
def test_a_closed_port_is_unreachable(lab, protocol, family):
    flow = pod_to_pod(lab, protocol, family, CLOSED)
    probe, answer = exchange(flow)
    assert (answer.kind, answer.address) == ("icmp_error", flow.destination.address)
    header = parse_packet(answer.packet)
    assert (header.icmp_type, header.icmp_code) == ((3, 3) if family == 4 else (1, 4))
    assert header.embedded.source_port == probe.source_port


@FAMILIES
@PROTOCOLS
def test_a_router_rejects(lab, protocol, family):
    """The error's sender is the node, whichever of its addresses it takes."""
    flow = pod_to_pod(lab, protocol, family)
    with rules(
        lab.node, "chain forward { type filter hook forward priority 0; reject with icmpx type host-unreachable; }"
    ):
        _, answer = exchange(flow)
    assert answer.kind == "icmp_error"
    assert answer.address != flow.destination.address


@FAMILIES
@PROTOCOLS
def test_an_output_hook_of_the_source_drops(lab, protocol, family):
    flow = pod_to_pod(lab, protocol, family)
    with (
        rules(lab.routed, "chain output { type filter hook output priority 0; policy drop; }"),
        open_sockets(flow) as sockets,
    ):
        probe = build_probe(flow, new_token(), sockets.source_port)
        event = sockets.send(probe)
    assert (event.action, event.error) == ("refused", "EPERM: Operation not permitted")
    assert event.packet == probe.packet


@FAMILIES
def test_an_input_hook_of_the_source_drops(lab, family):
    """What an answer's last hook drops has not arrived."""
    flow = pod_to_pod(lab, "icmp", family)
    with (
        rules(
            lab.routed, "chain input { type filter hook input priority 0; meta l4proto { icmp, icmpv6 } counter drop; }"
        ),
        open_sockets(flow) as sockets,
    ):
        probe = build_probe(flow, new_token(), None)
        sockets.send(probe)
        wait_until(lambda: "packets 0" not in listed_rules(lab.routed))
        assert sockets.read(probe) == []


def listed_rules(netns: str) -> str:
    command = ["ip", "netns", "exec", netns, "nft", "list", "table", "inet", "test"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline


@FAMILIES
def test_no_route_any_more(family):
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        flow = flow_between(pod, "node", node, "icmp", family)
        gone = dataclasses.replace(flow.destination, address={4: "203.0.113.9", 6: "2001:db8::9"}[family])
        ip(pod, "route del 0.0.0.0/0", "route del ::/0")
        flow = dataclasses.replace(flow, destination=gone)
        with open_sockets(flow) as sockets:
            event = sockets.send(build_probe(flow, new_token(), None))
    assert (event.action, event.error) == ("refused", "ENETUNREACH: Network is unreachable")


@FAMILIES
@PROTOCOLS
def test_the_packet_leaves_as_it_was_built(lab, protocol, family):
    """The kernel fills in nothing of its own, so events on the way hold the very bytes of the probe."""
    flow = flow_between(lab.bridged, "node", lab.node, protocol, family)
    wire = run_in(flow.node, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)))
    with wire, open_sockets(flow) as sockets:
        wire.bind((flow.source.host_device.name, ETH_P_ALL))
        wire.settimeout(PATIENCE_S)
        probe = build_probe(flow, new_token(), sockets.source_port)
        sockets.send(probe)
        while wire.recv(2048) != probe.packet:
            pass


@FAMILIES
@pytest.mark.parametrize("protocol", ["icmp", "tcp", "dns"])
def test_other_probes_answers_are_not_ours(lab, protocol, family):
    """Sent from the same port, so that only the token tells them apart; of UDP nothing but the port is asked."""
    flow = pod_to_pod(lab, protocol, family)
    with open_sockets(flow) as sockets:
        other, ours = (build_probe(flow, new_token(), sockets.source_port) for _ in range(2))
        sockets.send(other)
        assert len(answers_to(sockets, other)) == 1
        sockets.send(other)
        sockets.send(ours)
        (answer,) = answers_to(sockets, ours)
        assert answer.kind in {"reply", "syn_ack"}


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@FAMILIES
def test_the_port_is_ours_while_the_sockets_are_open(lab, protocol, family):
    flow = pod_to_pod(lab, protocol, family)

    def bind(port: int) -> None:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind) as rival:
            rival.bind((flow.source.address, port))

    with open_sockets(flow) as sockets:
        port = sockets.source_port
        with pytest.raises(OSError, match="Address already in use"):
            run_in(flow.source.netns, lambda: bind(port))
    run_in(flow.source.netns, lambda: bind(port))


def test_an_answer_makes_the_source_send_no_error(lab):
    """A datagram for a port that nobody holds would be answered with `port unreachable`."""
    flow = pod_to_pod(lab, "dns", 4)

    def unreachables() -> int:
        names, values = (
            line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines() if line[:5] == "Icmp:"
        )
        return int(dict(zip(names, values, strict=True))["OutDestUnreachs"])

    before = run_in(flow.source.netns, unreachables)
    exchange(flow)
    assert run_in(flow.source.netns, unreachables) == before


@FAMILIES
def test_segments_of_others_do_not_wake_us(lab, family):
    """The raw socket would otherwise receive every segment that comes to its address."""
    flow = pod_to_pod(lab, "tcp", family)
    with open_sockets(flow) as sockets, open_sockets(flow) as others:
        theirs = build_probe(flow, new_token(), others.source_port)
        others.send(theirs)
        assert answers_to(others, theirs)
        assert select.select(sockets.filenos(), [], [], 0)[0] == []


def test_pings_of_others_to_us_do_not_wake_us(lab):
    """Echo requests are for the kernel to answer."""
    flow = pod_to_pod(lab, "icmp", 4)
    with open_sockets(flow) as sockets:
        exchange(flow_between(lab.bridged, lab.routed, lab.node, "icmp", 4))
        assert select.select(sockets.filenos(), [], [], 0)[0] == []


def test_an_address_that_went_away(lab):
    flow = pod_to_pod(lab, "icmp", 4)
    gone = dataclasses.replace(flow.source, address="10.65.0.99")
    with pytest.raises(CannotTraceError) as caught:
        open_sockets(dataclasses.replace(flow, source=gone))
    assert caught.value.cause.startswith("cannot open the probe's sockets at 10.65.0.99 in netns:routed-")
    assert caught.value.cause.endswith(os.strerror(errno.EADDRNOTAVAIL))
