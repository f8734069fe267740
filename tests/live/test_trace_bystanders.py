"""Others on the same way: who captures the packets, traces everything, or talks between the same pods and ports."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import threading

import pytest
from trace_lab import (
    CLIENT,
    PORTS,
    SERVER,
    decisions,
    hops,
    load,
    load_native,
    path,
    places,
)

from tracer.events import RuleEvent
from tracer.netns import run_in
from tracer.packet import parse_packet

MOST_EXCHANGES = 3000
ECHO = b"\x08\0\0\0\0\x07\0\x01somebody else's ping, with enough bytes to look like one"


@contextlib.contextmanager
def dumping(lab):
    """Run tcpdump on every device of the way, and wait until it listens."""
    with contextlib.ExitStack() as stack:
        for netns, device in ((lab.client, "eth0"), (lab.node, "veth1"), (lab.node, "veth2"), (lab.server, "eth0")):
            command = ["tcpdump", "--immediate-mode", "-n", "-i", device, "-w", "-", "-U"]
            dump = stack.enter_context(
                run_in(netns, lambda c=command: subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
            )
            stack.callback(dump.kill)
            assert select.select([dump.stderr], [], [], 10)[0]
            assert b"listening on" in dump.stderr.readline()
        yield


@pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp", "dns"])
@pytest.mark.parametrize("family", [4, 6])
def test_tcpdump_sees_clones_and_changes_nothing(trace, traced_lab, protocol, family):
    with dumping(traced_lab):
        document = trace("client", "server", protocol, family=family)
    assert document.verdict.outcome == "delivered", document.verdict
    assert places(document, "request") == ["client socket", *path("client", "server")]
    assert places(document, "reply") == [*path("server", "client"), "client socket"]


@pytest.mark.parametrize("backend", ["iptables-legacy", "iptables-nft"])
def test_tcpdump_where_a_rule_drops(trace, traced_lab, backend):
    load(traced_lab.node, backend, "-A FORWARD -i veth2 -p udp -j DROP")
    with dumping(traced_lab):
        document = trace("client", "server", "udp")
    verdict = document.verdict
    assert (verdict.outcome, verdict.confidence, verdict.culprit.backend) == ("reply_lost", "observed", backend)
    assert places(document, "reply")[-2:] == ["node FORWARD", "node freed"]
    assert places(document, "request") == ["client socket", *path("client", "server")]


@contextlib.contextmanager
def talking(lab, protocol, pause_s=0.0):
    """Ask the server again and again over the same protocol, one packet at a time, until the context ends."""
    stop, exchanged = threading.Event(), threading.Semaphore(0)

    def ask():
        for _ in range(MOST_EXCHANGES):
            if stop.wait(pause_s):
                return
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                ASK[protocol]()
                exchanged.release()

    thread = threading.Thread(target=lambda: run_in(lab.client, ask))
    thread.start()
    try:
        assert exchanged.acquire(timeout=10)
        yield
        assert exchanged.acquire(timeout=10), "the traffic went on all the time"
    finally:
        stop.set()
        thread.join()


def ask_udp(port=5000, message=b"somebody else's question"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        asking.connect((SERVER[4], port))
        asking.send(message)
        return asking.recv(2048)


def ask_tcp():
    socket.create_connection((SERVER[4], PORTS["tcp"]), 1).close()


def ask_icmp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as asking:
        asking.settimeout(1)
        asking.connect((SERVER[4], 0))
        asking.send(ECHO)
        asking.recv(2048)


def ask_dns():
    ask_udp(53, b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x00\x00\x01\x00\x01")


ASK = {"udp": ask_udp, "tcp": ask_tcp, "icmp": ask_icmp, "dns": ask_dns}


def assert_only_ours(document):
    """Fail where an event's packet is not the probe, or the answer to it."""
    port = document.flow.source.port
    token = bytes.fromhex(document.flow.token)
    for event in document.events:
        header = parse_packet(event.packet)
        if header is None:
            assert isinstance(event, RuleEvent)
            continue
        if document.flow.protocol == "icmp":
            assert header.icmp_id == int.from_bytes(event.packet[24:26], "big")
            assert isinstance(event, RuleEvent) or header.payload.startswith(token)
        elif event.leg == "request":
            assert (header.source, header.source_port) == (CLIENT[4], port)
        else:
            assert (header.source, header.destination_port) == (SERVER[4], port)


@pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp", "dns"])
def test_the_same_traffic_by_somebody_else(trace, traced_lab, protocol):
    """Both backends let it all pass, and each rule is met once on each leg."""
    load(traced_lab.node, "iptables-legacy", "-A FORWARD -s 10.0.0.0/8 -j ACCEPT")
    load(traced_lab.node, "iptables-nft", "-A FORWARD -s 10.0.0.0/8 -j ACCEPT")
    with talking(traced_lab, protocol):
        document = trace("client", "server", protocol)
    assert document.verdict.outcome == "delivered", document.verdict
    assert places(document, "request") == ["client socket", *path("client", "server")]
    assert places(document, "reply") == [*path("server", "client"), "client socket"]
    for leg in ("request", "reply"):
        said = [(backend, verdict) for backend, _, _, verdict in decisions(document, leg, "node FORWARD")]
        assert said == [("iptables-nft", "accept"), ("iptables-legacy", "accept")]
    assert_only_ours(document)


def test_the_same_traffic_while_ours_is_dropped(trace, traced_lab):
    """The others' packets are accepted by the rule behind, which only they meet."""
    drop = "-A FORWARD -i veth1 -p udp -m string --algo bm --string tracer -j DROP"
    load(traced_lab.node, "iptables-legacy", drop, "-A FORWARD -j ACCEPT")
    with talking(traced_lab, "udp"):
        document = trace("client", "server", "udp")
    assert (document.verdict.outcome, document.verdict.culprit.rule[:26]) == ("request_lost", drop[:26])
    assert [said[3] for said in decisions(document, "request", "node FORWARD")] == ["drop"]
    assert hops(document, "reply") == ()
    assert_only_ours(document)


def test_somebody_traces_everything(trace, traced_lab):
    """The other's mark makes both backends speak of every packet; of those, ours alone are told.

    There are some, not as many as can be sent: what both say of those is more than anybody can read.
    """
    load_native(traced_lab.node, "prerouting", "meta nftrace set 1", kind="filter at -350")
    load(traced_lab.node, "iptables-legacy", "-A PREROUTING -j TRACE", table="raw")
    load(traced_lab.node, "iptables-legacy", "-A FORWARD -j ACCEPT")
    with talking(traced_lab, "udp", pause_s=0.005):
        document = trace("client", "server", "udp")
    assert document.verdict.outcome == "delivered"
    for leg in ("request", "reply"):
        assert decisions(document, leg, "node FORWARD") == [
            ("iptables-legacy", "filter", "-A FORWARD -j ACCEPT", "accept")
        ]
    assert_only_ours(document)
    rules = [event for event in document.events if isinstance(event, RuleEvent) and event.leg == "request"]
    assert len(rules) == len({(rule.hook, rule.table, rule.chain, rule.step, rule.rule) for rule in rules})
