"""A verdict against what the scenario expects of it."""

from __future__ import annotations

import pytest

from tracer.document import Culprit, Verdict
from tracer.scenario.compare import differences
from tracer.scenario.model import Expectation, ExpectedCulprit

RULE = '-A INPUT -m comment --comment "Unknown interface" -j DROP'
CULPRIT = Culprit(
    kind="rule",
    netns="node",
    hook="INPUT",
    backend="iptables-legacy",
    family="ip",
    table="filter",
    chain="INPUT",
    position=3,
    rule=RULE,
    verdict="drop",
    owner="calico",
)
LOST = Verdict(outcome="reply_lost", leg="reply", summary="", confidence="observed", culprit=CULPRIT)
DELIVERED = Verdict(outcome="delivered", leg="reply", summary="", confidence="observed", culprit=None)


def expectation(**culprit):
    return Expectation(outcome="reply_lost", culprit=ExpectedCulprit(kind="rule", **culprit))


@pytest.mark.parametrize(
    "expected, verdict",
    [
        (Expectation(outcome="delivered"), DELIVERED),
        (Expectation(outcome="delivered", leg="reply", confidence="observed"), DELIVERED),
        (Expectation(outcome="reply_lost"), LOST),
        (expectation(), LOST),
        (expectation(backend="iptables-legacy", table="filter", chain="INPUT", position=3, rule=RULE), LOST),
        (expectation(rule_contains="Unknown interface", owner="calico", verdict="drop", hook="INPUT"), LOST),
    ],
)
def test_a_verdict_as_expected(expected, verdict):
    assert differences(expected, verdict) == []


@pytest.mark.parametrize(
    "expected, verdict, said",
    [
        (Expectation(outcome="delivered"), LOST, ["outcome should be 'delivered'", "culprit should be None"]),
        (Expectation(outcome="request_lost", leg="request"), LOST, ["outcome should be", "leg should be 'request'"]),
        (Expectation(outcome="reply_lost", confidence="inferred"), LOST, ["confidence should be 'inferred'"]),
        (expectation(), DELIVERED, ["outcome should be 'reply_lost'", "culprit should be 'rule', and is None"]),
        (expectation(position=2), LOST, ["culprit's position should be 2, and is 3"]),
        (expectation(netns="web"), LOST, ["culprit's netns should be 'netns:web', and is 'node'"]),
        (expectation(device="eth0"), LOST, ["culprit's device should be 'eth0', and is None"]),
        (expectation(rule="-A INPUT -j DROP"), LOST, ["culprit's rule should be '-A INPUT -j DROP'"]),
        (expectation(rule_contains="REJECT"), LOST, ["culprit's rule should contain 'REJECT'"]),
        (
            expectation(backend="nftables", family="inet", table="x", chain="y", hook="FORWARD"),
            LOST,
            ["culprit's hook", "culprit's backend", "culprit's family", "culprit's table", "culprit's chain"],
        ),
    ],
)
def test_each_difference_is_told(expected, verdict, said):
    found = differences(expected, verdict)
    assert len(found) == len(said)
    for sentence, part in zip(found, said, strict=True):
        assert part in sentence


def test_a_culprit_without_a_rule_does_not_contain_one():
    verdict = Verdict("reply_lost", "reply", "", "observed", Culprit(kind="rule", netns="node"))
    assert differences(expectation(rule_contains="DROP"), verdict) == [
        "the culprit's rule should contain 'DROP', and is None"
    ]


def test_every_key_that_can_be_expected_is_compared():
    wanted = {field: "other" for field in ExpectedCulprit.__struct_fields__ if field not in {"position", "netns"}}
    found = differences(
        Expectation(outcome="reply_lost", culprit=ExpectedCulprit(**wanted, netns="other", position=9)), LOST
    )
    assert len(found) == len(ExpectedCulprit.__struct_fields__)
