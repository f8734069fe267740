"""The words of a verdict's sentence."""

from __future__ import annotations

import pytest
from sightings import (
    LEGACY,
    NATIVE,
    NFT,
    NODE,
    POD,
    datagram,
    evidence,
    function,
    hook,
    icmp_error,
    ping,
    rule,
    segment,
)

from tracer.document import Culprit
from tracer.packet import parse_packet
from tracer.wording import order_clause, refusal_words, rule_words

DROPPED = {
    "backend": LEGACY,
    "family": "ip",
    "table": "filter",
    "chain": "guard",
    "position": 3,
    "rule": "-A guard -j DROP",
    "verdict": "drop",
}


def culprit(kind="rule", netns=NODE, hook="INPUT", **changed):
    return Culprit(kind, netns, hook, **{**DROPPED, **changed})


class TestRule:
    def test_by_its_position(self):
        assert rule_words(culprit()) == f"by {LEGACY}, table filter, chain guard, rule 3: -A guard -j DROP"

    def test_by_its_position_also_where_it_has_a_handle(self):
        said = rule_words(culprit(backend=NFT, handle=17))
        assert said == f"by {NFT}, table filter, chain guard, rule 3: -A guard -j DROP"

    def test_by_its_handle_where_that_is_all(self):
        said = rule_words(culprit(backend=NATIVE, position=None, handle=17, rule="drop"))
        assert said == f"by {NATIVE}, table filter, chain guard, handle 17: drop"

    def test_of_a_chains_policy(self):
        said = rule_words(culprit("policy", chain="FORWARD", position=None, rule="-P FORWARD DROP"))
        assert said == f"by {LEGACY}, table filter, chain FORWARD, by the chain's policy: -P FORWARD DROP"

    def test_which_is_hostile_text_is_not_read_as_a_format(self):
        assert rule_words(culprit(rule="{backend} %s [red]")).endswith("rule 3: {backend} %s [red]")


BOTH = (function("INPUT", 1, 0, NFT, "filter"), function("INPUT", 2, 0, LEGACY, "filter"))
OTHER_WAY_ROUND = (function("INPUT", 1, 0, LEGACY, "filter"), function("INPUT", 2, 0, NFT, "filter"))


def clause(hooks, *said, ended=None, packet=None):
    """Return the sentence for a hop at which the backends said this."""
    seen = evidence([hook(1, NODE, "INPUT", packet=packet), *said], hooks)
    return order_clause(ended or culprit(), seen.hops("request")[0], hooks)


class TestOrder:
    ACCEPTED = (
        rule(90, NFT, "filter", "INPUT", "jump own", handle=1),
        rule(91, NFT, "filter", "own", "accept", handle=2),
    )

    def test_the_other_backend_ran_first_and_accepted(self):
        assert clause(BOTH, *self.ACCEPTED) == f" {NFT} ran first at this hook and accepted it."

    def test_the_other_backend_ran_first_and_did_not_say_what_it_did(self):
        assert clause(BOTH) == f" {NFT} ran first at this hook."
        assert clause(BOTH, self.ACCEPTED[0]) == f" {NFT} ran first at this hook."

    def test_the_culprit_ran_first(self):
        said = clause(OTHER_WAY_ROUND)
        assert said == f" {LEGACY} ran first at this priority: {NFT} did not see the packet there."

    def test_one_backend_alone_is_not_worth_a_sentence(self):
        assert clause(BOTH[1:]) == ""
        assert clause(()) == ""
        assert clause([*BOTH[1:], function("INPUT", 3, 2**31 - 1)]) == ""

    def test_neither_are_backends_at_other_priorities(self):
        """Their order is the same on every node."""
        assert clause([function("INPUT", 1, -150, NFT, "mangle"), *BOTH[1:]]) == ""

    def test_only_those_of_the_culprits_own_priority_count(self):
        """mangle ran in one order and filter in the other, as where their tables were made at different times."""
        mangle = (function("INPUT", 1, -150, LEGACY, "mangle"), function("INPUT", 2, -150, NFT, "mangle"))
        assert clause((*mangle, *BOTH)) == f" {NFT} ran first at this hook."

    def test_a_culprit_that_stands_at_no_hook(self):
        assert clause(BOTH, ended=Culprit("kernel", NODE, "INPUT")) == ""

    @pytest.mark.parametrize("elsewhere", [{"netns": POD}, {"family": "ipv6"}])
    def test_neither_are_backends_elsewhere(self, elsewhere):
        assert clause([function("INPUT", 1, 0, NFT, "filter", **elsewhere), *BOTH[1:]]) == ""
        assert clause([function("FORWARD", 1, 0, NFT, "filter"), *BOTH[1:]]) == ""

    def test_three_backends(self):
        hooks = (*BOTH[:1], function("INPUT", 2, 0, NATIVE, "own", "in"), function("INPUT", 3, 0, LEGACY, "filter"))
        assert clause(hooks) == f" {NFT} and {NATIVE} ran first at this hook."
        said = [*self.ACCEPTED, rule(92, NATIVE, "own", "in", "accept")]
        assert clause(hooks, *said) == f" {NFT} and {NATIVE} ran first at this hook and accepted it."
        assert clause(hooks, *said[:2]) == f" {NFT} and {NATIVE} ran first at this hook."

    def test_a_culprit_in_the_middle(self):
        hooks = (*BOTH, function("INPUT", 3, 0, NATIVE, "own", "in"))
        assert clause(hooks, *self.ACCEPTED) == f" {NFT} ran first at this hook and accepted it."

    def test_of_ipv6_is_looked_up_among_the_ipv6_hooks(self):
        hooks = [
            function("INPUT", 1, 0, NATIVE, "own", "in"),
            function("INPUT", 2, 0, NFT, "filter"),
            function("INPUT", 1, 0, NFT, "filter", family="ipv6"),
            function("INPUT", 2, 0, NATIVE, "own", "in", family="ipv6"),
        ]
        native = culprit(backend=NATIVE, family="inet", table="own", chain="in")
        assert clause(hooks, ended=native).startswith(f" {NATIVE} ran first")
        for packet in (ping("fd00::1", "fd00::2"), datagram("fd00::1", 1, "fd00::2", 2)):
            assert clause(hooks, ended=native, packet=packet).startswith(f" {NFT} ran first")
        packet = datagram("10.0.0.1", 1, "10.0.0.2", 2)
        assert clause(hooks, ended=native, packet=packet).startswith(f" {NATIVE} ran first")
        legacy6 = culprit(family="ip6", backend=NFT)
        assert (
            clause(hooks, ended=legacy6) == f" {NFT} ran first at this priority: {NATIVE} did not see the packet there."
        )


@pytest.mark.parametrize(
    "kind, code, words",
    [
        (3, 3, "ICMP port unreachable"),
        (3, 13, "ICMP communication administratively prohibited"),
        (11, 0, "ICMP time exceeded"),
        (3, 200, "ICMP type 3 code 200"),
    ],
)
def test_what_an_icmp_error_says(kind, code, words):
    assert refusal_words(parse_packet(icmp_error(ping(), "10.0.0.9", kind=kind, code=code))) == words


def test_what_a_reset_says():
    assert refusal_words(parse_packet(segment("10.0.0.2", 80, "10.0.0.1", 4000, 0x14))) == "a TCP reset"
    assert refusal_words(parse_packet(segment("fd00::2", 80, "fd00::1", 4000, 0x14))) == "a TCP reset"
