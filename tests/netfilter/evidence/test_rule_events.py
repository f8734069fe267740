"""Messages of both traces as rule events, with rules looked up in rulesets of the test's own."""

from __future__ import annotations

import pytest

from tracer.netfilter.evidence.messages import LegacyEvidence, LegacyTraceMessage, NftEvidence, NftTraceMessage
from tracer.netfilter.evidence.rules import ChainEnd, NftPlace, legacy_rule_events, nft_rule_events
from tracer.netfilter.ruleset import Rule

CHAIN = {
    1: Rule(1, "-A FORWARD -i cali+ -j cali-from-wl-dispatch", "cali-from-wl-dispatch", owner="calico"),
    2: Rule(2, "-A FORWARD -g there", "there"),
    3: Rule(3, '-A FORWARD -m comment --comment "-g there" -j there', "there"),
    4: Rule(4, "-A FORWARD -j MARK --set-xmark 0x1/0x1", "MARK"),
    5: Rule(5, "-A FORWARD -j REJECT", "REJECT"),
    6: Rule(6, "-A FORWARD"),
    7: Rule(7, "-A FORWARD -j RETURN", "RETURN"),
    8: Rule(8, "-A FORWARD -j NEWTARGET [8 bytes]", "NEWTARGET"),
    9: Rule(9, "-A FORWARD -j MASQUERADE", "MASQUERADE"),
}
CHAINS = {"FORWARD": ChainEnd("DROP"), "cali-from-wl-dispatch": ChainEnd(), "there": ChainEnd()}


def legacy_lookup(family, table, chain, position):
    if (family, table) != ("ip", "filter") or chain not in CHAINS:
        return None
    return (CHAIN.get(position) if chain == "FORWARD" else None) or CHAINS[chain]


def legacy_event(chain, step, position):
    message = LegacyTraceMessage(5, "ip", 2, "filter", chain, step, position, 2, 3, 0, bytes(200))
    (event,) = legacy_rule_events("node", [LegacyEvidence("reply", message)], legacy_lookup)
    return event


@pytest.mark.parametrize(
    ("position", "verdict"),
    [
        (1, "jump cali-from-wl-dispatch"),
        (2, "goto there"),
        (3, "jump there"),
        (4, "continue"),
        (5, "drop"),
        (6, "continue"),
        (7, "return"),
        (8, "unknown"),
        (9, "accept"),
    ],
)
@pytest.mark.parametrize("step", ["rule", "return", "policy"])
def test_legacy_rule(position, verdict, step):
    """Whatever the kernel calls it: it says `policy` of a rule without a match at a base chain."""
    event = legacy_event("FORWARD", step, position)
    assert (event.step, event.position, event.verdict, event.rule) == ("rule", position, verdict, CHAIN[position].text)
    assert (event.backend, event.hook, event.leg, event.netns) == ("iptables-legacy", "FORWARD", "reply", "node")
    assert event.owner == CHAIN[position].owner
    assert len(event.packet) == 128


def test_end_of_legacy_chains():
    policy = legacy_event("FORWARD", "policy", 10)
    assert (policy.step, policy.verdict, policy.position, policy.rule) == ("policy", "drop", None, "-P FORWARD DROP")
    end = legacy_event("there", "return", 1)
    assert (end.step, end.verdict, end.position, end.rule) == ("return", "return", None, "")


def test_legacy_chain_that_is_gone():
    event = legacy_event("gone", "rule", 3)
    assert (event.step, event.verdict, event.position, event.rule) == ("rule", "unknown", 3, "")


def nft_message(chain, step, handle, verdict, packet=b"", trace_id=1):
    message = NftTraceMessage(5, trace_id, "ip", "filter", chain, step, handle, verdict, 2, 3, 0, packet)
    return NftEvidence("request", message)


def nft_lookup(family, table, chain, handle):
    hooks = {"pre": "PREROUTING", "FORWARD": "FORWARD"}
    backend = "iptables-nft" if chain == "FORWARD" else "nftables"
    rule = Rule(2, f"rule {handle}", handle=handle, owner="calico") if handle == 8 else None
    return NftPlace(backend, hooks.get(chain, ""), rule)


def said(evidence):
    events = nft_rule_events("node", evidence, nft_lookup)
    return [(event.hook, event.chain, event.step, event.verdict, event.handle) for event in events]


@pytest.mark.parametrize("end", ["rule", "return"])
def test_nft_packet_through_two_base_chains(end):
    """Kernels call a chain's end `rule` or `return`; a chain that is no base chain runs at the hook it came from."""
    evidence = [
        nft_message("pre", "rule", 8, "jump marks", b"headers"),
        nft_message("marks", "rule", 9, "continue"),
        nft_message("marks", end, 10, "return"),
        nft_message("pre", end, None, "continue"),
        nft_message("pre", "policy", None, "accept"),
        nft_message("FORWARD", "rule", 11, "goto last", b"headers"),
        nft_message("last", end, None, "continue"),
        nft_message("FORWARD", "policy", None, "drop"),
    ]
    assert said(evidence) == [
        ("PREROUTING", "pre", "rule", "jump marks", 8),
        ("PREROUTING", "marks", "rule", "continue", 9),
        ("PREROUTING", "marks", "rule", "return", 10),
        ("PREROUTING", "pre", "policy", "accept", None),
        ("FORWARD", "FORWARD", "rule", "goto last", 11),
        ("FORWARD", "last", "return", "return", None),
        ("FORWARD", "FORWARD", "policy", "drop", None),
    ]


def test_nft_packets_whose_messages_interleave():
    evidence = [
        nft_message("pre", "rule", 1, "jump marks", b"headers", trace_id=1),
        nft_message("FORWARD", "rule", 2, "jump marks", b"headers", trace_id=2),
        nft_message("marks", "rule", 3, "continue", trace_id=1),
        nft_message("marks", "rule", 3, "continue", trace_id=2),
    ]
    assert [hook for hook, *_ in said(evidence)] == ["PREROUTING", "FORWARD", "PREROUTING", "FORWARD"]


def test_nft_rule_and_policies():
    evidence = [
        nft_message("pre", "rule", 8, "continue", b"headers"),
        nft_message("pre", "policy", None, "accept"),
        nft_message("FORWARD", "policy", None, "drop", b"headers"),
    ]
    rule, native, iptables = nft_rule_events("node", evidence, nft_lookup)
    assert (rule.rule, rule.owner, rule.position, rule.handle) == ("rule 8", "calico", 2, 8)
    assert (native.backend, native.rule, native.position) == ("nftables", "policy accept", None)
    assert (iptables.backend, iptables.rule) == ("iptables-nft", "-P FORWARD DROP")
