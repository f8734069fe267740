from __future__ import annotations

from documents import calico
from documents.parts import LEGACY, NATIVE, NFT, end_of, interleaved, matched, policy

from tracer.report.traversal import is_policy, is_routine, rule_words, table_words, traversals


def test_two_backends_in_turn_are_two_traversals_a_table():
    decisions = interleaved(
        (*calico.raw_prerouting(NFT), *calico.mangle_prerouting(NFT)),
        (*calico.raw_prerouting(LEGACY), *calico.mangle_prerouting(LEGACY)),
    )
    seen = traversals(decisions)
    assert [(each.table, each.backend) for each in seen] == [
        ("raw", NFT),
        ("raw", LEGACY),
        ("mangle", NFT),
        ("mangle", LEGACY),
    ]
    assert tuple(decision for each in seen for decision in each.decisions) == decisions


def test_an_end_opens_another_base_chain_of_the_same_table():
    decisions = (
        matched(NATIVE, "fw", 1, "x early accept", "accept"),
        matched(NATIVE, "fw", 1, "x late return", "return"),
        policy(NATIVE, "fw", "late", "drop"),
    )
    assert [each.decisions for each in traversals(decisions)] == [decisions[:1], decisions[1:]]


def test_chains_lead_to_the_last_decision():
    [seen] = traversals(calico.filter_input_unknown(LEGACY))
    assert seen.chains == ("INPUT", "cali-INPUT", "cali-wl-to-host", "cali-from-wl-dispatch")


def test_chains_that_were_returned_from_are_left_out():
    decisions = (
        matched(NFT, "filter", 1, "-A INPUT -j a", "jump a"),
        matched(NFT, "filter", 1, "-A a -j b", "jump b"),
        end_of(NFT, "filter", "b"),
        end_of(NFT, "filter", "a"),
        matched(NFT, "filter", 2, "-A INPUT -j c", "jump c"),
        matched(NFT, "filter", 1, "-A c -j ACCEPT", "accept"),
    )
    [seen] = traversals(decisions)
    assert seen.chains == ("INPUT", "c")


def test_no_decisions_no_traversal():
    assert traversals(()) == ()


def test_routine_is_an_accept_by_policy_alone():
    routine, by_rule, dropped = (
        traversals(decisions)[0]
        for decisions in (
            calico.raw_prerouting(NFT),
            calico.mangle_prerouting(NFT),
            (policy(LEGACY, "filter", "FORWARD", "drop"),),
        )
    )
    assert [is_routine(each) for each in (routine, by_rule, dropped)] == [True, False, False]


def test_the_end_of_a_chain_is_no_policy():
    assert is_policy(policy(NFT, "filter", "INPUT"))
    assert not is_policy(end_of(NFT, "filter", "cali-INPUT"))


def test_words():
    assert table_words(LEGACY, "ip6", "filter") == "filter"
    assert table_words(NATIVE, "inet", "fw") == "inet fw"
    assert [rule_words(3, 17), rule_words(None, 17), rule_words(None, None)] == ["rule 3", "handle 17", ""]
