"""Every protocol over both families in every direction: delivered, and lost to each kind of filter."""

from __future__ import annotations

import itertools

import pytest
from trace_lab import (
    PORTS,
    PROTOCOLS,
    assert_in_order,
    decisions,
    hop,
    hops,
    load,
    load_native,
    path,
    places,
    trace,
    trace_lab,
    transport,
    wait_until_nothing_is_left,
)

DIRECTIONS = (("client", "node"), ("node", "server"), ("client", "server"))
FLOWS = tuple(itertools.product(PROTOCOLS, (4, 6)))


@pytest.fixture(scope="module")
def open_lab(preparation):
    """Yield a lab without filters, and find nothing of ours in it at the end."""
    with trace_lab() as lab:
        yield lab
        wait_until_nothing_is_left(preparation, lab)


@pytest.mark.parametrize("source, destination", DIRECTIONS)
@pytest.mark.parametrize("protocol, family", FLOWS)
def test_delivered(preparation, open_lab, protocol, family, source, destination):
    document = trace(preparation, open_lab, source, destination, protocol, family=family)
    assert (document.verdict.outcome, document.verdict.confidence) == ("delivered", "observed"), document.verdict
    assert places(document, "request") == [f"{source} socket", *path(source, destination)]
    assert places(document, "reply") == [*path(destination, source), f"{source} socket"]
    assert document.flow.destination.port == PORTS.get(protocol)
    assert document.capture.rules == ()
    assert document.capture.changes == ()


def matching(flow, leg):
    """Return what iptables matches a leg's packets by; neighbour discovery is ICMPv6 too, and none of it."""
    protocol, family = flow
    if (protocol, family) == ("icmp", 6):
        return f"-p ipv6-icmp -m icmp6 --icmpv6-type {128 if leg == 'request' else 129}"
    return f"-p {transport(protocol, family)}"


def discovery(flow):
    """Return the rules without which a policy of DROP ends IPv6 altogether."""
    return [f"-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j ACCEPT" for kind in (135, 136) if flow[1] == 6]


def drop_in_forward_by_legacy(lab, flow):
    """The request, between two pods, by a rule in a chain of its own."""
    rule = f"-A fw {matching(flow, 'request')} -j DROP"
    load(lab.node, "iptables-legacy", ":fw - [0:0]", "-A FORWARD -g fw", rule, family=flow[1])
    return ("client", "server"), ("request", "node FORWARD", "filter", "fw", rule)


def drop_in_input_by_iptables_nft(lab, flow):
    """The reply to the node, on its way in."""
    rule = f"-A INPUT -i veth2 {matching(flow, 'reply')} -j DROP"
    load(lab.node, "iptables-nft", "-A INPUT -i veth1 -j ACCEPT", rule, family=flow[1])
    return ("node", "server"), ("reply", "node INPUT", "filter", "INPUT", rule)


def drop_in_output_by_nft(lab, flow):
    """The reply from the node to a pod, on its way out."""
    match = "icmpv6 type echo-reply" if flow == ("icmp", 6) else f"meta l4proto {transport(*flow)}"
    load_native(lab.node, "output", f'{match} counter drop comment "no way"')
    return ("client", "node"), ("reply", "node OUTPUT", "t-output", "c", 'comment "no way"')


def drop_by_legacy_policy(lab, flow):
    """The request to a pod, by the policy of the pod's own INPUT."""
    load(
        lab.server, "iptables-legacy", ":INPUT DROP [0:0]", "-A INPUT -i lo -j ACCEPT", *discovery(flow), family=flow[1]
    )
    return ("node", "server"), ("request", "server INPUT", "filter", "INPUT", "-P INPUT DROP")


def drop_by_iptables_nft_policy(lab, flow):
    """The reply between two pods, by a policy behind a rule for the request."""
    load(lab.node, "iptables-nft", ":FORWARD DROP [0:0]", "-A FORWARD -i veth1 -j ACCEPT", family=flow[1])
    return ("client", "server"), ("reply", "node FORWARD", "filter", "FORWARD", "-P FORWARD DROP")


def drop_by_nft_policy(lab, flow):
    """The request, as it enters the node."""
    exceptions = ('iifname != "veth1" accept', "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept")
    load_native(lab.node, "prerouting", *exceptions, policy="drop", kind="filter at raw")
    return ("client", "node"), ("request", "node PREROUTING", "t-prerouting", "c", "policy drop")


KINDS = {
    drop_in_forward_by_legacy: "iptables-legacy",
    drop_in_input_by_iptables_nft: "iptables-nft",
    drop_in_output_by_nft: "nftables",
    drop_by_legacy_policy: "iptables-legacy",
    drop_by_iptables_nft_policy: "iptables-nft",
    drop_by_nft_policy: "nftables",
}


RULES = (drop_in_forward_by_legacy, drop_in_input_by_iptables_nft, drop_in_output_by_nft)
POLICIES = (drop_by_legacy_policy, drop_by_iptables_nft_policy, drop_by_nft_policy)  # flow by flow another one
LOSSES = [
    pytest.param(flow, drop, id=f"{flow[0]}{flow[1]}-{drop.__name__}")
    for flow, policy in zip(FLOWS, itertools.cycle(POLICIES), strict=False)
    for drop in (*RULES, policy)
]


@pytest.mark.parametrize("flow, drop", LOSSES)
def test_lost(trace, traced_lab, flow, drop):
    ends, (leg, place, table, chain, rule) = drop(traced_lab, flow)
    document = trace(*ends, flow[0], family=flow[1])
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.leg, verdict.confidence) == (f"{leg}_lost", leg, "observed"), verdict
    assert (culprit.kind, culprit.verdict) == ("policy" if "olicy" in drop.__name__ else "rule", "drop")
    assert (culprit.backend, culprit.table, culprit.chain) == (KINDS[drop], table, chain)
    assert [culprit.netns.removeprefix("netns:"), culprit.hook] == place.split()
    assert rule in culprit.rule
    assert culprit.rule in verdict.summary
    assert document.capture.rules == ("nft-trace", "legacy-trace")[: 2 if "legacy" in KINDS[drop] else 1]
    way = path(*(ends if leg == "request" else ends[::-1]))
    assert_in_order([*way[: way.index(place) + 1], f"{place.split()[0]} freed"], places(document, leg))
    assert not set(way[way.index(place) + 1 :]) & set(places(document, leg)), "it goes on behind the drop"
    assert decisions(document, leg, place)[-1] == (culprit.backend, table, culprit.rule, "drop")
    assert hop(document, leg, place).device == culprit.device
    if leg == "reply":
        assert_in_order(path(*ends), places(document, "request"))
    else:
        assert hops(document, "reply") == ()
