"""Packets that no rule ends: what routing, neighbours and sockets do, and what rules do to odd packets."""

from __future__ import annotations

import pytest
from anonymous_netns import run
from trace_lab import (
    CLIENT,
    NODE_TO_CLIENT,
    SERVER,
    assert_in_order,
    hops,
    ip,
    load,
    load_native,
    path,
    places,
    set_sysctl,
)

WRONG_MAC = "02:00:00:00:00:99"
BEFORE_ROUTING = path("client", "server")[:5]


def findings(document):
    return [finding.id for finding in document.findings]


def assert_lost_in_the_kernel(document, netns, function, reason):
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.leg, verdict.confidence) == ("request_lost", "request", "observed"), verdict
    assert (culprit.kind, culprit.netns, culprit.rule, culprit.backend) == ("kernel", netns, None, None)
    assert culprit.function.partition("+")[0] == function
    assert culprit.reason == f"SKB_DROP_REASON_{reason}"
    assert f"{function} ({reason})" in verdict.summary
    assert places(document, "request")[-1] == f"{netns.removeprefix('netns:')} freed"
    assert hops(document, "reply") == ()


def test_reverse_path_filter(trace, traced_lab):
    """The route back to the client leads through another device than its packets come by."""
    mac = run(traced_lab.node, "ip", "-br", "link", "show", "veth1").split()[2]
    ip(traced_lab.client, f"neigh replace 10.1.0.1 lladdr {mac} dev eth0 nud permanent")
    ip(traced_lab.node, f"route add {CLIENT[4]}/32 dev veth2")
    set_sysctl(traced_lab.node, "net.ipv4.conf.veth1.rp_filter", 1)
    document = trace("client", "server", "udp")
    assert_lost_in_the_kernel(document, "node", "ip_rcv_finish_core", "IP_RPFILTER")
    assert (document.verdict.culprit.hook, document.verdict.culprit.device) == ("PREROUTING", "veth1")
    assert findings(document) == ["reverse-path-filter"]
    assert_in_order([*BEFORE_ROUTING, "node freed"], places(document, "request"))


@pytest.mark.parametrize(
    "family, name, function",
    [(4, "net.ipv4.ip_forward", "ip_error"), (6, "net.ipv6.conf.all.forwarding", "ip6_forward")],
)
def test_forwarding_is_off(trace, traced_lab, family, name, function):
    set_sysctl(traced_lab.node, name, 0)
    document = trace("client", "server", "icmp", family=family)
    assert_lost_in_the_kernel(document, "node", function, "IP_INADDRERRORS")
    assert findings(document) == ["no-route"]
    assert_in_order([*BEFORE_ROUTING, "node freed"], places(document, "request"))


@pytest.mark.parametrize("family, function", [(4, "ip_error"), (6, "dst_discard_out")])
def test_blackhole_route(trace, traced_lab, family, function):
    ip(traced_lab.node, f"route add blackhole {SERVER[family]}")
    document = trace("client", "server", "tcp", family=family)
    assert_lost_in_the_kernel(document, "node", function, "NOT_SPECIFIED")
    assert findings(document) == ["refusing-route"]


@pytest.mark.parametrize(
    "family, kind, answer, finding",
    [
        (4, "unreachable", "ICMP host unreachable", "refusing-route"),
        (4, "prohibit", "ICMP communication administratively prohibited", "refusing-route"),
        (6, "unreachable", "ICMPv6 no route", "no-route"),
        (6, "prohibit", "ICMPv6 administratively prohibited", "no-route"),
    ],
)
def test_route_that_refuses(trace, traced_lab, family, kind, answer, finding):
    ip(traced_lab.node, f"route add {kind} {SERVER[family]}")
    document = trace("client", "server", "udp", family=family)
    assert (document.verdict.outcome, document.verdict.culprit.netns) == ("rejected", "node")
    assert f"answered with {answer} by {NODE_TO_CLIENT[family]}" in document.verdict.summary
    assert findings(document) == [finding]


@pytest.mark.parametrize("protocol, family", [("udp", 4), ("icmp", 6)])
def test_wrong_hardware_address(trace, traced_lab, protocol, family):
    """The pod's device takes the packet for somebody else's."""
    ip(traced_lab.node, f"neigh replace {SERVER[family]} lladdr {WRONG_MAC} dev veth2 nud permanent")
    document = trace("client", "server", protocol, family=family, timeout_s=30)
    function = "ip_rcv_core" if family == 4 else "ip6_rcv_core"
    assert_lost_in_the_kernel(document, "netns:server", function, "OTHERHOST")
    assert_in_order([*path("client", "server")[:9], "server freed"], places(document, "request"))
    assert findings(document) == ["wrong-hardware-address"]


@pytest.mark.parametrize("family", [4, 6])
def test_neighbour_that_does_not_answer(trace, traced_lab, family):
    """The kernel gives up after three tries, a second apart, and tells the sender."""
    load_native(traced_lab.server, "input", "icmpv6 type nd-neighbor-solicit drop")
    ip(traced_lab.server, "link set eth0 arp off")
    ip(traced_lab.node, "neigh flush dev veth2")
    document = trace("client", "server", "udp", family=family, timeout_s=10)
    verdict = document.verdict
    assert (verdict.outcome, verdict.culprit.netns) == ("rejected", "node"), verdict
    assert verdict.culprit.function.startswith("neigh_invalidate")
    assert findings(document) == ["neighbour-unresolved"]
    assert_in_order([*path("client", "server")[:7], "node freed"], places(document, "request"))
    assert "node egress" not in places(document, "request")


def test_neighbour_that_has_not_answered_yet(trace, traced_lab):
    ip(traced_lab.server, "link set eth0 arp off")
    document = trace("node", "server", "udp", timeout_s=0.3)
    assert (document.verdict.outcome, document.verdict.confidence) == ("request_lost", "inferred")
    assert "was to leave node by veth2, and did not" in document.verdict.summary
    assert "ARP" in document.verdict.basis
    assert (document.verdict.culprit.hook, document.verdict.culprit.device) == ("POSTROUTING", "veth2")
    assert findings(document) == ["neighbour-unresolved"]


@pytest.mark.parametrize("backend", ["iptables-legacy", "iptables-nft"])
def test_conntrack_calls_the_reply_invalid(trace, traced_lab, backend):
    """The node tracks the reply only: its request went by untracked."""
    load(traced_lab.node, "iptables-nft", "-A PREROUTING -i veth1 -p tcp -j CT --notrack", table="raw")
    rule = "-A FORWARD -m conntrack --ctstate INVALID -j DROP"
    load(traced_lab.node, backend, rule)
    document = trace("client", "server", "tcp")
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.confidence) == ("reply_lost", "observed"), verdict
    assert (culprit.backend, culprit.hook, culprit.device, culprit.rule) == (backend, "FORWARD", "veth2", rule)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("backend", ["iptables-legacy", "iptables-nft"])
def test_raw_table(trace, traced_lab, backend, family):
    rule = "-A PREROUTING -i veth1 -p udp -j DROP"
    load(traced_lab.node, backend, rule, table="raw", family=family)
    document = trace("client", "server", "udp", family=family)
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.confidence) == ("request_lost", "observed")
    assert (culprit.backend, culprit.table, culprit.hook, culprit.rule) == (backend, "raw", "PREROUTING", rule)
    assert places(document, "request")[-2:] == ["node PREROUTING", "node freed"]


def test_a_native_chain_before_everything_else(trace, traced_lab):
    """At NF_IP_PRI_FIRST no link of ours fits in front of it."""
    load_native(traced_lab.node, "prerouting", "iifname veth1 udp dport 5000 drop", kind="filter at -2147483648")
    verdict = trace("client", "server", "udp").verdict
    assert (verdict.outcome, verdict.confidence, verdict.culprit.backend) == ("request_lost", "observed", "nftables")
    assert verdict.culprit.rule == 'iifname "veth1" udp dport 5000 drop'
