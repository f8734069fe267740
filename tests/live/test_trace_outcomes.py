"""All six outcomes of a live trace, each with its culprit, its leg, where it ended and in which words."""

from __future__ import annotations

import socket

import pytest
from trace_lab import (
    CLIENT,
    LOGGERS,
    NODE_TO_CLIENT,
    OUTSIDE,
    SERVER,
    assert_in_order,
    decisions,
    hop,
    hops,
    ip,
    load,
    load_native,
    path,
    places,
    set_sysctl,
    silent_socket,
    transport,
)

from tracer import sysctl
from tracer.netns import run_in

SILENT = 5001
CLOSED = 5002
DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
REJECTS = {
    ("udp", 4, "icmp-port-unreachable"): "ICMP port unreachable",
    ("dns", 4, "icmp-admin-prohibited"): "ICMP communication administratively prohibited",
    ("icmp", 4, "icmp-host-prohibited"): "ICMP host administratively prohibited",
    ("tcp", 4, "tcp-reset"): "a TCP reset",
    ("udp", 6, "icmp6-port-unreachable"): "ICMPv6 port unreachable",
    ("tcp", 6, "icmp6-adm-prohibited"): "ICMPv6 administratively prohibited",
    ("tcp", 6, "tcp-reset"): "a TCP reset",
}
UNANSWERED = {
    ("icmp", 4): "net.ipv4.icmp_echo_ignore_all",
    ("icmp", 6): "net.ipv6.icmp.echo_ignore_all",
}


def test_delivered(trace):
    document = trace("client", "server", "udp")
    verdict = document.verdict
    assert (verdict.outcome, verdict.leg, verdict.confidence) == ("delivered", "reply", "observed")
    assert verdict.summary.startswith("Delivered: the udp probe went from netns:client to netns:server and its reply")
    assert places(document, "request") == ["client socket", *path("client", "server")]
    assert places(document, "reply") == [*path("server", "client"), "client socket"]
    assert document.findings == ()
    source, destination = document.flow.source, document.flow.destination
    assert (source.netns, source.address, source.device, source.host_device) == (
        "netns:client",
        CLIENT[4],
        "eth0",
        "veth1",
    )
    assert (destination.netns, destination.port, destination.host_device) == ("netns:server", 5000, "veth2")
    request, reply = hops(document, "request"), hops(document, "reply")
    there = f"{CLIENT[4]}:{source.port}", f"{SERVER[4]}:5000"
    assert {(one.address_from, one.address_to) for one in request} == {there}
    assert {(one.address_from, one.address_to) for one in reply} == {there[::-1]}
    assert [one.device for one in request[1:]] == [
        "eth0",
        "eth0",
        "eth0",
        "veth1",
        "veth1",
        "veth1",
        "veth2",
        "veth2",
    ] + ["eth0"] * 3


@pytest.mark.parametrize("backend", ["iptables-legacy", "iptables-nft"])
@pytest.mark.parametrize("protocol, family, reject", REJECTS)
def test_rejected_by_a_rule(trace, traced_lab, backend, protocol, family, reject):
    load(
        traced_lab.node,
        backend,
        f"-A FORWARD -p {transport(protocol, family)} -j REJECT --reject-with {reject}",
        family=family,
    )
    document = trace("client", "server", protocol, family=family)
    verdict, culprit = document.verdict, document.verdict.culprit
    answer = REJECTS[protocol, family, reject]
    by = NODE_TO_CLIENT[family] if answer != "a TCP reset" else SERVER[family]
    assert (verdict.outcome, verdict.leg, verdict.confidence) == ("rejected", "request", "observed")
    assert f"was answered with {answer} by {by}" in verdict.summary.replace("[", "").replace("]:80", "")
    assert (culprit.kind, culprit.netns, culprit.hook, culprit.backend) == ("rule", "node", "FORWARD", backend)
    assert (culprit.table, culprit.chain, culprit.position) == ("filter", "FORWARD", 1)
    assert culprit.rule.endswith(f"-j REJECT --reject-with {reject}")
    assert_in_order([*path("client", "server")[:6], "node freed"], places(document, "request"))
    assert_in_order([*path("node", "client"), "client socket"], places(document, "reply"))
    assert decisions(document, "request", "node FORWARD") == [(backend, "filter", culprit.rule, "drop")]


def test_rejected_by_a_native_rule(trace, traced_lab):
    load_native(traced_lab.node, "forward", "tcp dport 80 reject with tcp reset")
    verdict = trace("client", "server", "tcp").verdict
    assert (verdict.outcome, verdict.leg) == ("rejected", "request")
    assert (verdict.culprit.backend, verdict.culprit.table, verdict.culprit.chain) == ("nftables", "t-forward", "c")
    assert verdict.culprit.rule == "tcp dport 80 reject with tcp reset"


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "protocol, answer", [("udp", "ICMP{} port unreachable"), ("dns", "ICMP{} port unreachable"), ("tcp", "a TCP reset")]
)
def test_rejected_by_a_closed_port(trace, protocol, answer, family):
    document = trace("client", "server", protocol, port=CLOSED, family=family)
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.leg, verdict.confidence) == ("rejected", "request", "observed")
    assert answer.format("v6" if family == 6 else "") in verdict.summary
    assert (culprit.kind, culprit.netns, culprit.reason) == ("kernel", "netns:server", "SKB_DROP_REASON_NO_SOCKET")
    assert [finding.id for finding in document.findings] == ["nobody-listens"]
    assert_in_order([*path("client", "server"), "server freed"], places(document, "request"))
    assert places(document, "reply") == [*path("server", "client"), "client socket"]


@pytest.mark.parametrize(
    "family, route, answer", [(4, "10.2.0.0/24", "ICMP network unreachable"), (6, "fd02::/64", "ICMPv6 no route")]
)
def test_rejected_for_want_of_a_route_in_the_middle(trace, traced_lab, family, route, answer):
    ip(traced_lab.node, f"route del {route} dev veth2", f"route del {DEFAULT[family]}")
    document = trace("client", "server", "icmp", family=family)
    verdict = document.verdict
    assert (verdict.outcome, verdict.leg, verdict.culprit.netns) == ("rejected", "request", "node")
    assert f"answered with {answer} by {NODE_TO_CLIENT[family]}" in verdict.summary
    assert verdict.culprit.reason == "SKB_DROP_REASON_IP_INNOROUTES"
    assert [finding.id for finding in document.findings] == ["no-route"]
    assert_in_order([*path("client", "server")[:5], "node freed"], places(document, "request"))
    assert "node FORWARD" not in places(document, "request")


def test_no_reply_from_a_socket_that_nobody_reads(trace, traced_lab):
    with silent_socket(traced_lab.server, socket.SOCK_DGRAM, SILENT):
        document = trace("client", "server", "udp", port=SILENT, timeout_s=0.3)
    verdict = document.verdict
    assert (verdict.outcome, verdict.leg, verdict.confidence) == ("no_reply", "request", "inferred")
    assert (verdict.culprit.netns, verdict.culprit.hook) == ("netns:server", "INPUT")
    assert places(document, "request") == ["client socket", *path("client", "server")]
    assert hops(document, "reply") == ()
    assert [finding.id for finding in document.findings] == ["nothing-answered"]


@pytest.mark.parametrize("family", [4, 6])
def test_no_reply_to_a_ping_that_is_ignored(trace, traced_lab, family):
    set_sysctl(traced_lab.server, UNANSWERED["icmp", family], 1)
    document = trace("client", "server", family=family, timeout_s=0.3)
    verdict = document.verdict
    assert (verdict.outcome, verdict.leg) == ("no_reply", "request")
    assert (verdict.culprit.kind, verdict.culprit.netns, verdict.culprit.hook) == ("kernel", "netns:server", "INPUT")
    assert_in_order(path("client", "server"), places(document, "request"))
    assert hops(document, "reply") == ()


def test_no_reply_from_outside(trace, traced_lab):
    """What is behind the node's own network is not watched, so nobody can say what became of it there."""
    with silent_socket(traced_lab.outside, socket.SOCK_DGRAM, SILENT):
        document = trace("client", OUTSIDE[4], "udp", port=SILENT, timeout_s=0.3, known=())
    assert (document.verdict.outcome, document.verdict.confidence) == ("no_reply", "inferred")
    assert "left node by veth3" in document.verdict.summary
    assert places(document, "request")[-1] == "node egress"


@pytest.mark.parametrize("backend", ["iptables-legacy", "iptables-nft"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_drop_on_the_senders_own_output_loses_the_request(trace, traced_lab, backend, family):
    """The kernel tells the sender EPERM then, which alone would be a probe that was not sent."""
    load(traced_lab.client, backend, "-A OUTPUT -p udp -j DROP", family=family)
    document = trace("client", "server", "udp", family=family)
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.leg, verdict.confidence) == ("request_lost", "request", "observed")
    assert (culprit.kind, culprit.netns, culprit.hook, culprit.backend) == ("rule", "netns:client", "OUTPUT", backend)
    assert culprit.rule == "-A OUTPUT -p udp -j DROP"
    assert places(document, "request") == ["client socket", "client OUTPUT", "client freed"]
    assert hop(document, "request", "client socket").detail.startswith("refused EPERM")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["icmp", "tcp"])
def test_not_sent_for_want_of_a_route(trace, traced_lab, protocol, family):
    """The route goes after the flow was resolved, and before the probe is sent."""

    def tell(step):
        if step == "waiting for the answer":
            ip(traced_lab.client, f"route del {DEFAULT[family]}")

    document = trace("client", "server", protocol, family=family, tell=tell)
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.leg, verdict.confidence) == ("not_sent", "request", "observed")
    assert (culprit.kind, culprit.netns, culprit.device) == ("kernel", "netns:client", "eth0")
    assert culprit.reason.startswith("ENETUNREACH")
    assert "the kernel refused the probe" in verdict.summary
    assert places(document, "request") == ["client socket"]
    assert hop(document, "request", "client socket").detail.startswith("refused ENETUNREACH")


def test_a_logger_that_is_set_already_stays(trace, traced_lab):
    """What suits us and was there before is nobody's change."""
    run_in(traced_lab.node, lambda: sysctl.write(LOGGERS[4], "nfnetlink_log"))
    load(traced_lab.node, "iptables-legacy", "-A FORWARD -p udp -j DROP")
    document = trace("client", "server", "udp")
    assert (document.verdict.outcome, document.verdict.culprit.backend) == ("request_lost", "iptables-legacy")
    assert document.capture.changes == ()
    assert run_in(traced_lab.node, lambda: sysctl.read(LOGGERS[4])) == "nfnetlink_log"
    run_in(traced_lab.node, lambda: sysctl.write(LOGGERS[4], "NONE"))
