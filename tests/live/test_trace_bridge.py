"""Pods on one bridge of the node, which asks iptables about what it forwards, and floods what it does not know."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest
from anonymous_netns import anonymous, bridged_lab, prepare
from trace_lab import (
    LOGGERS,
    TraceLab,
    assert_in_order,
    decisions,
    ip,
    load,
    path,
    places,
    silent_socket,
    trace,
    wait_until_nothing_is_left,
)

from tracer import sysctl
from tracer.events import FreedEvent
from tracer.freed import is_misdirected
from tracer.netns import run_in

SILENT = 5001


@pytest.fixture
def lab(preparation):
    """Yield a lab with the client at 10.1.0.2, a bystander at .3 and the server at .4, all ports of cni0."""
    with bridged_lab() as made, anonymous("server") as server:
        run_in(server, prepare)
        descriptor = os.open(server.path, os.O_RDONLY)
        try:
            ip(made.node, f"link add veth4 type veth peer name eth0 netns /proc/{os.getpid()}/fd/{descriptor}")
        finally:
            os.close(descriptor)
        ip(made.node, "link set veth4 master cni0 up")
        ip(server, "link set eth0 up", "addr add 10.1.0.4/24 dev eth0")
        bridged = TraceLab(
            replace(made.client, label="netns:client"),
            made.node,
            replace(server, label="netns:server"),
            replace(made.server, label="netns:bystander"),
        )
        for netns in (bridged.node, *bridged.pods):
            run_in(netns, lambda: [sysctl.write(name, "NONE") for name in LOGGERS.values()])
        yield bridged
        wait_until_nothing_is_left(preparation, bridged)


@pytest.fixture
def flooding(lab):
    """Let the bridge forget where the server is: what is for it goes to all ports.

    The youngest port, which is the server's, gets a copy, and the oldest the packet itself (br_flood,
    net/bridge/br_forward.c).
    """
    ip(lab.node, "link set veth4 type bridge_slave learning off", "link set veth4 type bridge_slave fdb_flush")
    return lab


@pytest.mark.parametrize("source, destination", [("client", "server"), ("client", "node"), ("node", "server")])
def test_delivered(preparation, lab, source, destination):
    document = trace(preparation, lab, source, destination)
    assert document.verdict.outcome == "delivered", document.verdict
    assert_in_order(path(source, destination), places(document, "request"))
    assert_in_order(path(destination, source), places(document, "reply"))


@pytest.mark.parametrize("backend, other", [("iptables-legacy", "iptables-nft"), ("iptables-nft", "iptables-legacy")])
def test_a_rule_drops_what_the_bridge_forwards(preparation, lab, backend, other):
    load(lab.node, backend, "-A FORWARD -s 10.1.0.4 -j DROP")
    load(lab.node, other, "-A FORWARD -j ACCEPT")
    document = trace(preparation, lab, "client", "server")
    culprit = document.verdict.culprit
    assert (document.verdict.outcome, culprit.backend, culprit.hook) == ("reply_lost", backend, "FORWARD")
    assert culprit.rule == "-A FORWARD -s 10.1.0.4/32 -j DROP"
    said = [(backend, verdict) for backend, _, _, verdict in decisions(document, "reply", "node FORWARD")]
    assert said == [(other, "accept"), (backend, "drop")]
    assert_in_order([*path("client", "server")], places(document, "request"))


def test_delivered_by_a_flood(preparation, flooding):
    """The other pods free their copies, as those bear another hardware address."""
    document = trace(preparation, flooding, "client", "server")
    assert document.verdict.outcome == "delivered", document.verdict
    assert any(isinstance(event, FreedEvent) and is_misdirected(event) for event in document.events)
    assert_in_order(["node PREROUTING", "node egress", "server ingress", "server INPUT"], places(document, "request"))
    assert not any(place.endswith("freed") for place in places(document, "request"))


def test_lost_behind_a_flood(preparation, flooding):
    load(flooding.server, "iptables-nft", "-A INPUT -p icmp -j DROP")
    document = trace(preparation, flooding, "client", "server", timeout_s=30)
    verdict = document.verdict
    assert (verdict.outcome, verdict.confidence, verdict.culprit.netns) == ("request_lost", "observed", "netns:server")
    assert verdict.culprit.backend == "iptables-nft"


def test_no_reply_behind_a_flood(preparation, flooding):
    with silent_socket(flooding.server, socket.SOCK_DGRAM, SILENT):
        verdict = trace(preparation, flooding, "client", "server", "udp", port=SILENT, timeout_s=1).verdict
    assert (verdict.outcome, verdict.confidence) == ("no_reply", "inferred"), verdict
    assert (verdict.culprit.netns, verdict.culprit.hook) == ("netns:server", "INPUT")


def test_a_hardware_address_that_nobody_has(preparation, flooding):
    """Every pod gets a copy, and none takes it."""
    ip(flooding.client, "neigh replace 10.1.0.4 lladdr 02:00:00:00:00:77 dev eth0 nud permanent")
    document = trace(preparation, flooding, "client", "server", timeout_s=30)
    verdict = document.verdict
    assert (verdict.outcome, verdict.confidence) == ("request_lost", "observed"), verdict
    assert verdict.culprit.reason == "SKB_DROP_REASON_OTHERHOST"
    assert [finding.id for finding in document.findings] == ["wrong-hardware-address"]
