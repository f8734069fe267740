"""Which of several that could have dropped a packet did: by what they said, else by where it was, never by a guess."""

from __future__ import annotations

import pytest
from nfqueue import listening, queue_number
from trace_lab import assert_in_order, decisions, hop, load, load_native, path, places

LEGACY, NFT = "iptables-legacy", "iptables-nft"
DROP = "-A FORWARD -p udp -j DROP"
ACCEPT = "-A FORWARD -p udp -j ACCEPT"
BOTH_ORDERS = pytest.mark.parametrize("first, last", [(LEGACY, NFT), (NFT, LEGACY)])
BACKENDS = pytest.mark.parametrize("backend", [LEGACY, NFT])
MUTE = "meta nftrace set 0"  # somebody's rule that ends all traces of the packet


def order_at(document, place):
    return [
        entry.backend for entry in document.hooks if (entry.netns, entry.hook, entry.family) == ("node", place, "ipv4")
    ]


@BOTH_ORDERS
def test_both_drop_and_the_one_that_runs_first_did(trace, traced_lab, first, last):
    """At one priority the younger runs first."""
    load(traced_lab.node, first, DROP)
    load(traced_lab.node, last, DROP)
    document = trace("client", "server", "udp")
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.confidence) == ("request_lost", "observed")
    assert (culprit.kind, culprit.backend, culprit.rule, culprit.position) == ("rule", last, DROP, 1)
    assert decisions(document, "request", "node FORWARD") == [(last, "filter", DROP, "drop")]
    assert order_at(document, "FORWARD") == [last, first]
    assert verdict.summary.endswith(f"{last} ran first at this priority: {first} did not see the packet there.")


@BOTH_ORDERS
def test_the_first_accepts_and_the_second_drops(trace, traced_lab, first, last):
    load(traced_lab.node, first, DROP)
    load(traced_lab.node, last, ACCEPT)
    document = trace("client", "server", "udp")
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.confidence, culprit.backend) == ("request_lost", "observed", first)
    assert decisions(document, "request", "node FORWARD") == [
        (last, "filter", ACCEPT, "accept"),
        (first, "filter", DROP, "drop"),
    ]
    assert verdict.summary.endswith(f"{last} ran first at this hook and accepted it.")


@BOTH_ORDERS
def test_both_accept_in_the_order_in_which_they_run(trace, traced_lab, first, last):
    for backend in (first, last):
        load(traced_lab.node, backend, ":fw - [0:0]", "-A FORWARD -j fw", "-A fw -p udp -j RETURN", ACCEPT)
    document = trace("client", "server", "udp")
    assert document.verdict.outcome == "delivered"
    said = [(backend, verdict) for backend, _, _, verdict in decisions(document, "request", "node FORWARD")]
    assert said == [(backend, verdict) for backend in (last, first) for verdict in ("jump fw", "return", "accept")]


def test_three_backends_at_one_hook(trace, traced_lab):
    load(traced_lab.node, NFT, ACCEPT)
    load_native(traced_lab.node, "forward", "udp dport 5000 counter drop")
    load(traced_lab.node, LEGACY, ACCEPT)
    document = trace("client", "server", "udp")
    culprit = document.verdict.culprit
    assert (culprit.backend, culprit.family, culprit.table, culprit.chain) == ("nftables", "inet", "t-forward", "c")
    assert [said[0] for said in decisions(document, "request", "node FORWARD")] == [LEGACY, "nftables"]
    assert order_at(document, "FORWARD") == [LEGACY, "nftables", NFT]
    assert "iptables-legacy ran first at this hook and accepted it" in document.verdict.summary


def test_a_drop_at_a_later_priority(trace, traced_lab):
    """Every chain of the hook has its say, the last one too; iptables-nft has its security table at 150, not at 50."""
    for name in ("mangle", "filter", "security"):
        load(traced_lab.node, LEGACY, ":FORWARD ACCEPT [0:0]", table=name)
    load(traced_lab.node, NFT, "-A FORWARD -p udp -j DROP", table="security")
    document = trace("client", "server", "udp")
    assert (document.verdict.culprit.backend, document.verdict.culprit.table) == (NFT, "security")
    said = [(backend, table) for backend, table, *_ in decisions(document, "request", "node FORWARD")]
    assert said == [(LEGACY, "mangle"), (LEGACY, "filter"), (LEGACY, "security"), (NFT, "security")]


@pytest.mark.parametrize("backend, family", [(LEGACY, 4), (NFT, 4), (LEGACY, 6), (NFT, 6)])
def test_nobody_says_so_and_one_could_have(trace, traced_lab, backend, family):
    load_native(traced_lab.node, "prerouting", MUTE, kind="filter at -440")
    load(traced_lab.node, backend, DROP, family=family)
    document = trace("client", "server", "udp", family=family)
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.confidence, culprit.kind) == ("request_lost", "inferred", "kernel")
    assert (culprit.netns, culprit.hook, culprit.device) == ("node", "FORWARD", "veth1")
    assert (culprit.backend, culprit.table, culprit.chain) == (backend, "filter", "FORWARD")
    assert culprit.function.startswith({LEGACY: "ip", NFT: "nft_do_chain"}[backend])
    assert (culprit.family, culprit.rule) == ("ip" if family == 4 else "ip6", None)
    assert "no rule reported a drop" in verdict.basis
    assert f"by {backend}, table filter, chain FORWARD" in verdict.summary
    assert places(document, "request")[-2:] == ["node FORWARD", "node freed"]
    assert [finding.id for finding in document.findings] == ["drop-without-a-word"]
    assert hop(document, "request", "node FORWARD").decisions == ()


@BOTH_ORDERS
def test_nobody_says_so_and_both_could_have(trace, traced_lab, first, last):
    """What nf_tables frees itself is its own, and no other's; of what netfilter frees nobody knows whose it was."""
    load_native(traced_lab.node, "prerouting", MUTE, kind="filter at -440")
    load(traced_lab.node, first, DROP)
    load(traced_lab.node, last, DROP)
    verdict = trace("client", "server", "udp").verdict
    assert (verdict.outcome, verdict.confidence, verdict.culprit.hook) == ("request_lost", "inferred", "FORWARD")
    assert verdict.culprit.backend in (last, None)
    assert verdict.culprit.rule is None
    if verdict.culprit.backend is None:
        assert f"by one of these, none of which said so: {last}" in verdict.summary
        assert first in verdict.summary


def test_one_accepts_aloud_and_the_other_drops_in_silence(trace, traced_lab):
    """The trace ends behind the first backend: only the second one is left."""
    load(traced_lab.node, LEGACY, DROP)
    load(traced_lab.node, NFT, ":FORWARD ACCEPT [0:0]", table="mangle")
    load_native(traced_lab.node, "forward", MUTE, kind="filter at -100")
    document = trace("client", "server", "udp")
    verdict = document.verdict
    assert (verdict.confidence, verdict.culprit.backend, verdict.culprit.table) == ("inferred", LEGACY, "filter")
    assert decisions(document, "request", "node FORWARD")[0][:2] == (NFT, "mangle")


@BACKENDS
def test_a_queue_without_a_listener(trace, traced_lab, backend):
    rule = f"-A FORWARD -p udp -j NFQUEUE --queue-num {queue_number()}"
    load(traced_lab.node, backend, rule)
    document = trace("client", "server", "udp", timeout_s=30)
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.confidence) == ("request_lost", "observed"), verdict
    assert (culprit.kind, culprit.backend, culprit.verdict, culprit.rule) == ("rule", backend, "queue", rule)
    assert "was put into a queue in node at FORWARD" in verdict.summary
    assert_in_order([*path("client", "server")[:6], "node freed"], places(document, "request"))


@BACKENDS
def test_a_queue_that_waits(trace, traced_lab, backend):
    number = queue_number()
    load(traced_lab.node, backend, f"-A FORWARD -p udp -j NFQUEUE --queue-num {number}")
    with listening(traced_lab.node, number):
        verdict = trace("client", "server", "udp", timeout_s=0.3).verdict
    assert (verdict.outcome, verdict.confidence, verdict.culprit.verdict) == ("request_lost", "observed", "queue")
    assert "waits in a queue for a program's verdict" in verdict.summary


@BACKENDS
def test_a_queue_whose_listener_drops(trace, traced_lab, backend):
    number = queue_number()
    rule = f"-A FORWARD -p udp -j NFQUEUE --queue-num {number}"
    load(traced_lab.node, backend, rule)
    with listening(traced_lab.node, number, verdict="drop"):
        verdict = trace("client", "server", "udp", timeout_s=30).verdict
    assert (verdict.outcome, verdict.confidence, verdict.culprit.rule) == ("request_lost", "observed", rule), verdict


@BACKENDS
def test_a_queue_whose_listener_accepts(trace, traced_lab, backend):
    """The packet goes on behind the rule, and what ends it there is to blame."""
    number = queue_number()
    load(traced_lab.node, backend, f"-A FORWARD -i veth1 -p udp -j NFQUEUE --queue-num {number}")
    with listening(traced_lab.node, number, verdict="accept"):
        document = trace("client", "server", "udp")
        assert document.verdict.outcome == "delivered"
        assert_in_order(path("client", "server"), places(document, "request"))
        silent = trace("client", "server", "udp", port=5009, timeout_s=5)
    assert (silent.verdict.outcome, silent.verdict.culprit.netns) == ("rejected", "netns:server")
